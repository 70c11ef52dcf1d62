#include "backend/cpu/layout/packed_matrix.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "backend/cpu/layout/packing.h"

namespace grok::cpu {
namespace {

// A task packs a few chunks of rows with all their columns. That is large enough to make adding its column sums cheap.
void pack_weights(const TensorView& stored, PackedMatrix& matrix, threads::ThreadPool& pool) {
  constexpr int kTaskRows = 256;
  const int group_rows = matrix.d_in / matrix.num_groups;
  const int group_tasks = (group_rows + kTaskRows - 1) / kTaskRows;
  const std::size_t width = std::size_t(matrix.num_strips) * kStrip;
  // Tasks roughly follow the file; the last of a group may be smaller. While one task packs, the disk reads ahead for
  // the next.
  constexpr std::size_t kBytesAhead = 64 << 20;
  const std::size_t task_bytes = std::size_t(std::min(kTaskRows, group_rows)) * matrix.d_out;
  const std::size_t bytes_ahead = kBytesAhead / task_bytes * task_bytes;
  stored.fetch(0, bytes_ahead);

  pool.parallel_for(std::size_t(matrix.num_experts) * matrix.num_groups * group_tasks, [&](std::size_t task) {
    stored.fetch(task * task_bytes + bytes_ahead, task_bytes);
    const int group = int(task / group_tasks % matrix.num_groups), expert = int(task / group_tasks / matrix.num_groups);
    const int first_row = int(task % group_tasks) * kTaskRows;  // of the group
    const int last_row = std::min(first_row + kTaskRows, group_rows);
    const std::size_t group_start =
        (std::size_t(expert) * matrix.d_in + std::size_t(group) * group_rows) * matrix.d_out;

    std::vector<std::int32_t> sums(width);
    std::vector<std::int8_t> rows(kRowsAtOnce * width);  // [kRowsAtOnce, width], zero after the rows read
    for (int row = first_row; row < last_row; row += kRowsAtOnce) {
      const int num_rows = std::min(kRowsAtOnce, last_row - row);
      if (num_rows < kRowsAtOnce) std::fill(rows.begin(), rows.end(), 0);
      const auto read = [&](int first, int count) {
        stored.read(group_start + std::size_t(row + first) * matrix.d_out,
                    std::as_writable_bytes(std::span(rows.data() + first * width, std::size_t(count) * matrix.d_out)));
      };
      if (width == std::size_t(matrix.d_out))
        read(0, num_rows);
      else
        for (int r = 0; r < num_rows; ++r) read(r, 1);
      for (int r = 0; r < num_rows; ++r)
        for (std::size_t column = 0; column < width; ++column) sums[column] += rows[r * width + column];

      for (int strip = 0; strip < matrix.num_strips; ++strip)
        pack_quads(&rows[std::size_t(strip) * kStrip], width, CpuMatrix::quads_of(num_rows),
                   matrix.weights(expert, strip, group) + std::size_t(row) * kStrip);
    }
    for (std::size_t column = 0; column < width; ++column)
      std::atomic_ref(matrix.column_sums(expert, int(column / kStrip), group)[column % kStrip])
          .fetch_add(sums[column], std::memory_order_relaxed);
  });
}

}  // namespace

std::uint64_t PackedMatrix::size_bytes(int num_experts, int d_in, int d_out, int num_groups) {
  require_summable(d_in / num_groups);
  return std::uint64_t(num_experts) * strips_of(d_out) * num_groups * group_bytes(d_in / num_groups);
}

PackedMatrix::PackedMatrix(int num_experts, int d_in, int d_out, int num_groups)
    : CpuMatrix(num_experts, d_in, d_out, num_groups), memory_(size_bytes(num_experts, d_in, d_out, num_groups)) {}

std::unique_ptr<PackedMatrix> pack_matrix(const Linear& stored, threads::ThreadPool& pool) {
  auto matrix = std::make_unique<PackedMatrix>(stored.num_experts, stored.d_in, stored.d_out, stored.num_groups);
  pack_weights(stored.weight, *matrix, pool);
  load_scales(stored, [&](int expert, int strip, int group) { return matrix->scales(expert, strip, group); });
  return matrix;
}

std::uint64_t packed_bytes(const Linear& stored) {
  return PackedMatrix::size_bytes(stored.num_experts, stored.d_in, stored.d_out, stored.num_groups);
}

}  // namespace grok::cpu
