#pragma once

#include <cstdint>
#include <functional>

#include "backend/cpu/layout/cpu_matrix.h"

// Conversion of a stored matrix to the packed layout of products.
namespace grok::cpu {

// Rows that are copied out of the file at once.
inline constexpr int kRowsAtOnce = 16;
static_assert(kRowsAtOnce % kQuad == 0);

// rows: [num_quads * kQuad, kStrip], `stride` apart; out: [num_quads, kStrip, kQuad].
void pack_quads(const std::int8_t* rows, std::size_t stride, int num_quads, std::int8_t* out);

// Reads the scales and writes each as f32 to its place in scales_of(expert, strip, group), [kStrip].
void load_scales(const Linear& stored, const std::function<float*(int, int, int)>& scales_of);

}  // namespace grok::cpu
