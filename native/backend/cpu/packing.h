#pragma once

#include <cstdint>
#include <functional>

#include "backend/cpu/cpu_matrix.h"

// From a stored matrix to what products read.
namespace grok {

// Rows that are taken out of the file at once.
inline constexpr int kRowsAtOnce = 16;
static_assert(kChunkRows % kRowsAtOnce == 0 && kRowsAtOnce % kQuad == 0);

// The axes of a stored matrix, which may be one matrix or one for each expert.
struct Axes {
  explicit Axes(const QuantizedView& stored);
  int num_experts, d_in, d_out, num_groups;
};

// Some quads of a strip into the chunk that they are part of.
struct PackQuads {
  const std::int8_t* rows = nullptr;  // [num_quads * kQuad, kStrip], rows `stride` apart
  std::size_t stride = 0;
  std::int8_t* chunk = nullptr;  // [2, chunk_quads, kHalf, kQuad]
  int first_quad = 0;            // of the chunk
  int num_quads = 0;
  int chunk_quads = 0;
};
void pack_quads(const PackQuads& op);

// Reads the scales and writes each as f32 to its place in scales_of(expert, strip, group), [kStrip].
void load_scales(const TensorView& stored, const Axes& axes, const std::function<float*(int, int, int)>& scales_of);

}  // namespace grok
