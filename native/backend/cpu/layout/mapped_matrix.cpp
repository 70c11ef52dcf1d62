#include "backend/cpu/layout/mapped_matrix.h"

#include <algorithm>
#include <span>

#include "backend/cpu/layout/packing.h"

namespace grok::cpu {

std::uint64_t MappedMatrix::size_bytes(const Linear& stored) {
  require_summable(stored.scheme.group_size);
  return std::uint64_t(stored.num_experts) * stored.num_groups * strips_of(stored.d_out) * kStrip * sizeof(float);
}

MappedMatrix::MappedMatrix(const Linear& stored)
    : CpuMatrix(stored.num_experts, stored.d_in, stored.d_out, stored.num_groups),
      weight_(stored.weight),
      scales_(size_bytes(stored)) {
  load_scales(stored, [&](int expert, int strip, int group) { return scales_place(expert, strip, group); });
}

CpuMatrix::PackedRows MappedMatrix::rows(const Rows& wanted, Scratch& scratch) const {
  const std::size_t first_column = std::size_t(wanted.first_strip) * kStrip;
  const std::size_t row_bytes = std::min(std::size_t(wanted.num_strips) * kStrip, d_out - first_column);
  const std::uint64_t first_row = std::uint64_t(wanted.expert) * d_in + wanted.group * group_rows() + wanted.first_row;
  const std::size_t strip_stride = std::size_t(quads_of(wanted.num_rows)) * kQuad * kStrip;

  // Columns of the last strip from d_out on hold the following bytes; their products are not used.
  auto* const stored = reinterpret_cast<std::int8_t*>(scratch.bytes(kRowsAtOnce * row_bytes + kStrip));
  auto* const packed = reinterpret_cast<std::int8_t*>(scratch.bytes(wanted.num_strips * strip_stride));
  for (int row = 0; row < wanted.num_rows; row += kRowsAtOnce) {
    const int num_rows = std::min(kRowsAtOnce, wanted.num_rows - row);
    const std::span read(stored, num_rows * row_bytes);
    weight_.read_rows((first_row + row) * d_out + first_column, d_out, row_bytes, num_rows,
                      std::as_writable_bytes(read));
    std::fill(read.end(), read.begin() + quads_of(num_rows) * kQuad * row_bytes, 0);

    for (int strip = 0; strip < wanted.num_strips; ++strip)
      pack_quads(stored + strip * kStrip, row_bytes, quads_of(num_rows),
                 packed + strip * strip_stride + std::size_t(row) * kStrip);
  }
  return {packed, strip_stride};
}

}  // namespace grok::cpu
