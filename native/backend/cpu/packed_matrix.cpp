#include "backend/cpu/packed_matrix.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "core/error.h"

namespace grok {
namespace {

// Rows that are taken out of the file at once: whole rows, so that the file is read front to back.
constexpr int kRowsAtOnce = 16;
static_assert(kChunkRows % kRowsAtOnce == 0 && kRowsAtOnce % kQuad == 0);

using Bytes16 = std::int8_t __attribute__((vector_size(16)));
using Words8 = std::int16_t __attribute__((vector_size(16)));

// rows: 4 rows of 16 columns, `stride` apart; out: [16, 4]. Adds each column up.
void pack_quad(const std::int8_t* rows, std::size_t stride, std::int8_t* out) {
  Bytes16 a, b, c, d;
  std::memcpy(&a, rows, 16);
  std::memcpy(&b, rows + stride, 16);
  std::memcpy(&c, rows + 2 * stride, 16);
  std::memcpy(&d, rows + 3 * stride, 16);
  const auto low = [](Bytes16 x, Bytes16 y) {
    return Words8(__builtin_shufflevector(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
  };
  const auto high = [](Bytes16 x, Bytes16 y) {
    return Words8(__builtin_shufflevector(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
  };
  const Words8 ab[2] = {low(a, b), high(a, b)}, cd[2] = {low(c, d), high(c, d)};
  for (int i = 0; i < 2; ++i) {
    const Words8 first = __builtin_shufflevector(ab[i], cd[i], 0, 8, 1, 9, 2, 10, 3, 11);
    const Words8 second = __builtin_shufflevector(ab[i], cd[i], 4, 12, 5, 13, 6, 14, 7, 15);
    std::memcpy(out + i * 32, &first, 16);
    std::memcpy(out + i * 32 + 16, &second, 16);
  }
}

// A task packs a few chunks of rows, all columns of them: enough that adding its column sums to the others' costs little.
void pack_weights(const TensorView& stored, PackedMatrix& matrix, ThreadPool& pool) {
  constexpr int kTaskRows = 4 * kChunkRows;
  const int group_rows = matrix.d_in / matrix.num_groups;
  const int group_tasks = (group_rows + kTaskRows - 1) / kTaskRows;
  const std::size_t width = std::size_t(matrix.num_strips) * kStrip;

  pool.parallel_for(std::size_t(matrix.num_experts) * matrix.num_groups * group_tasks, [&](std::size_t task) {
    const int group = int(task / group_tasks % matrix.num_groups), expert = int(task / group_tasks / matrix.num_groups);
    const int first_row = int(task % group_tasks) * kTaskRows;  // of the group
    const int last_row = std::min(first_row + kTaskRows, group_rows);
    const std::size_t group_start =
        (std::size_t(expert) * matrix.d_in + std::size_t(group) * group_rows) * matrix.d_out;

    std::vector<std::int32_t> sums(width);
    std::vector<std::int8_t> rows(kRowsAtOnce * width);  // [kRowsAtOnce, width], zero beyond what is read
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

      const int chunk_row = row / kChunkRows * kChunkRows;
      const int chunk_quads = std::min(kChunkRows / kQuad, matrix.group_quads() - chunk_row / kQuad);
      const int first_quad = (row - chunk_row) / kQuad;
      const int num_quads = std::min(kRowsAtOnce / kQuad, chunk_quads - first_quad);
      for (int strip = 0; strip < matrix.num_strips; ++strip) {
        std::int8_t* const chunk = matrix.weights(expert, strip, group) + std::size_t(chunk_row) * kStrip;
        for (int half = 0; half < 2; ++half)
          for (int quad = 0; quad < num_quads; ++quad)
            pack_quad(&rows[quad * kQuad * width + std::size_t(strip) * kStrip + half * kHalf], width,
                      chunk + (half * chunk_quads + first_quad + quad) * (kHalf * kQuad));
      }
    }
    for (std::size_t column = 0; column < width; ++column)
      std::atomic_ref(matrix.column_sums(expert, int(column / kStrip), group)[column % kStrip])
          .fetch_add(sums[column], std::memory_order_relaxed);
  });
}

void pack_scales(const TensorView& stored, PackedMatrix& matrix) {
  // bf16 [num_experts, num_groups, d_out]
  std::vector<std::uint16_t> bits(std::size_t(matrix.num_experts) * matrix.num_groups * matrix.d_out);
  stored.read(0, std::as_writable_bytes(std::span(bits)));
  for (int expert = 0; expert < matrix.num_experts; ++expert)
    for (int group = 0; group < matrix.num_groups; ++group)
      for (int column = 0; column < matrix.d_out; ++column)
        matrix.scales(expert, column / kStrip, group)[column % kStrip] =
            bf16_to_f32(bits[(std::size_t(expert) * matrix.num_groups + group) * matrix.d_out + column]);
}

// The axes of a stored matrix, which may be one matrix or one for each expert.
struct Axes {
  explicit Axes(const QuantizedView& stored) {
    const auto from_end = [](const Shape& shape, std::size_t axis) { return int(shape[shape.size() - axis]); };
    num_experts = stored.weight.shape.size() == 3 ? int(stored.weight.shape[0]) : 1;
    d_in = from_end(stored.weight.shape, 2);
    d_out = from_end(stored.weight.shape, 1);
    num_groups = from_end(stored.scales.shape, 2);
  }
  int num_experts, d_in, d_out, num_groups;
};

int strips_of(int d_out) { return (d_out + kStrip - 1) / kStrip; }

}  // namespace

std::uint64_t PackedMatrix::size_bytes(int num_experts, int d_in, int d_out, int num_groups) {
  if (d_in / num_groups > kMaxGroupRows)
    throw Error(ErrorCode::unsupported, concat("expected at most ", kMaxGroupRows,
                                               " inputs of a matrix to share a scale, found ", d_in / num_groups));
  return std::uint64_t(num_experts) * strips_of(d_out) * num_groups * group_bytes(d_in / num_groups);
}

PackedMatrix::PackedMatrix(int num_experts, int d_in, int d_out, int num_groups)
    : num_experts(num_experts),
      d_in(d_in),
      d_out(d_out),
      num_groups(num_groups),
      num_strips(strips_of(d_out)),
      memory_(size_bytes(num_experts, d_in, d_out, num_groups)) {}

std::unique_ptr<PackedMatrix> pack_matrix(const QuantizedView& stored, ThreadPool& pool) {
  const Axes axes(stored);
  auto matrix = std::make_unique<PackedMatrix>(axes.num_experts, axes.d_in, axes.d_out, axes.num_groups);
  pack_weights(stored.weight, *matrix, pool);
  pack_scales(stored.scales, *matrix);
  return matrix;
}

std::uint64_t packed_bytes(const QuantizedView& stored) {
  const Axes axes(stored);
  return PackedMatrix::size_bytes(axes.num_experts, axes.d_in, axes.d_out, axes.num_groups);
}

}  // namespace grok
