#include "backend/cpu/packed_matrix.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace grok {
namespace {

// Bytes copied out of the file at once: large enough to amortise the call, small enough to stay in L2.
constexpr std::size_t kBlockBytes = 256 * 1024;

int axis_from_end(const TensorView& view, std::size_t from_end) {
  return int(view.shape[view.shape.size() - from_end]);
}

int experts_of(const TensorView& view) { return view.shape.size() == 3 ? int(view.shape[0]) : 1; }

int strips_of(const TensorView& view) { return (axis_from_end(view, 1) + kStrip - 1) / kStrip; }

std::size_t weight_bytes(const QuantizedView& stored) {
  return std::size_t(experts_of(stored.weight)) * strips_of(stored.weight) * axis_from_end(stored.weight, 2) * kStrip;
}

std::size_t scale_bytes(const QuantizedView& stored) {
  return std::size_t(experts_of(stored.weight)) * strips_of(stored.weight) * axis_from_end(stored.scales, 2) * kStrip *
         sizeof(float);
}

}  // namespace

std::uint64_t PackedMatrix::size_bytes(const QuantizedView& stored) {
  return weight_bytes(stored) + scale_bytes(stored);
}

PackedMatrix::PackedMatrix(const QuantizedView& stored, ThreadPool& pool)
    : num_experts(experts_of(stored.weight)),
      d_in(axis_from_end(stored.weight, 2)),
      d_out(axis_from_end(stored.weight, 1)),
      num_groups(axis_from_end(stored.scales, 2)),
      num_strips(strips_of(stored.weight)),
      weights_(weight_bytes(stored)),
      scales_(scale_bytes(stored)) {
  const int rows_per_block = int(std::clamp<std::size_t>(kBlockBytes / d_out, 1, d_in));
  const int blocks_per_expert = (d_in + rows_per_block - 1) / rows_per_block;

  pool.parallel_for(std::size_t(num_experts) * blocks_per_expert, [&](std::size_t task) {
    const int expert = int(task / blocks_per_expert);
    const int first_row = int(task % blocks_per_expert) * rows_per_block;
    const int num_rows = std::min(rows_per_block, d_in - first_row);
    std::vector<std::int8_t> rows(std::size_t(num_rows) * d_out);  // [num_rows, d_out]
    stored.weight.read((std::size_t(expert) * d_in + first_row) * d_out, std::as_writable_bytes(std::span(rows)));

    for (int strip = 0; strip < num_strips; ++strip) {
      const int num_columns = std::min(kStrip, d_out - strip * kStrip);
      std::int8_t* out = const_cast<std::int8_t*>(weights(expert, strip)) + std::size_t(first_row) * kStrip;
      for (int row = 0; row < num_rows; ++row)
        std::memcpy(out + std::size_t(row) * kStrip, &rows[std::size_t(row) * d_out + std::size_t(strip) * kStrip],
                    num_columns);
    }
  });

  std::vector<std::uint16_t> bits(std::size_t(num_experts) * num_groups *
                                  d_out);  // bf16 [num_experts, num_groups, d_out]
  stored.scales.read(0, std::as_writable_bytes(std::span(bits)));
  for (int expert = 0; expert < num_experts; ++expert)
    for (int group = 0; group < num_groups; ++group)
      for (int column = 0; column < d_out; ++column)
        const_cast<float*>(scales(expert, column / kStrip))[group * kStrip + column % kStrip] =
            bf16_to_f32(bits[(std::size_t(expert) * num_groups + group) * d_out + column]);
}

}  // namespace grok
