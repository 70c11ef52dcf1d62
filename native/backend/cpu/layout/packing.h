#pragma once

#include <cstdint>
#include <functional>

#include "backend/cpu/layout/cpu_matrix.h"

// Conversion of a stored matrix to the packed layout of products.
namespace grok::cpu {

// Rows that are copied out of the file at once.
inline constexpr int kRowsAtOnce = 16;
static_assert(kRowsAtOnce % kQuad == 0);

// Axes of a stored matrix, which may be one matrix or one for each expert.
struct Axes {
  explicit Axes(const QuantizedView& stored);
  int num_experts, d_in, d_out, num_groups;
};

// rows: [num_quads * kQuad, kStrip], `stride` apart; out: [num_quads, kStrip, kQuad].
void pack_quads(const std::int8_t* rows, std::size_t stride, int num_quads, std::int8_t* out);

// Reads the scales and writes each as f32 to its place in scales_of(expert, strip, group), [kStrip].
void load_scales(const TensorView& stored, const Axes& axes, const std::function<float*(int, int, int)>& scales_of);

}  // namespace grok::cpu
