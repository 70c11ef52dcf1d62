#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "backend/cuda/activations.h"
#include "backend/cuda/device_memory.h"
#include "backend/cuda/input_layout.h"
#include "backend/cuda/reduce.h"
#include "backend/cuda/stream.h"

// Activations as integers: x = scale * (d0 + 256 d1 + 65536 d2), each limb an int8, and one scale for each
// slice of a row. int8 weights then multiply int8 limbs on the tensor cores and accumulate exactly. The error is the
// rounding to the last limb, at most half of 2^-15 (two limbs) or 2^-23 (three) of the slice's largest value.
namespace grok::cuda {

LimbRows limb_rows(int num_rows, int num_limbs, const InputLayout& layout, DeviceScratch& scratch);

// The limbs of rows of activations.
LimbRows quantize_rows(const float* x,  // [num_rows, layout.d_in()]
                       int num_rows, int num_limbs, const InputLayout& layout, DeviceScratch& scratch, Stream& stream);

// ---------------------------------------------------------------- on the device

// Offset of limb k of a row. In each tile, four inputs and the four that lie 16 behind them are adjacent, because a
// lane of a matrix instruction reads those together.
__device__ inline int limb_place(int k) {
  const int four = k % kTileRows / 4;
  return k - k % kTileRows + (four % 4 * 2 + four / 4) * 4 + k % 4;
}

inline constexpr int kQuantizeThreads = 256, kMostQuantizeThreads = 1024;

// Slightly less than the largest integer of num_limbs limbs, 127 in each: values are scaled in float32, which rounds
// by half a unit near 2^23.
__device__ inline float largest_integer(int num_limbs) { return num_limbs == 2 ? 32639.0f : 8355000.0f; }

// Conversion between the values of a slice and their integers.
struct SliceScale {
  float to_integer, to_value;
};

// A slice with an infinity or a NaN gets a NaN as its scale. A slice whose largest value is below 1e-30 counts as zero.
// The bits of magnitudes sort like the magnitudes, with infinity and NaN last.
__device__ inline SliceScale scale_of_slice(unsigned largest_bits, int num_limbs) {
  const float largest = __uint_as_float(largest_bits);
  if (largest_bits >= 0x7f800000u) return {0, __uint_as_float(0x7fffffffu)};
  if (largest < 1e-30f) return {0, 0};
  return {largest_integer(num_limbs) / largest, largest / largest_integer(num_limbs)};
}

// Computes the limbs of one slice of one row, by a block of kThreads: value_of(k) is the value of its input k.
template <int kLimbs, int kThreads = kQuantizeThreads, typename Value>
__device__ void quantize_slice(const LimbRows& out, const InputLayout& layout, int row, int slice, Value value_of) {
  constexpr int kValues = kSliceRows / kThreads;
  const int num_rows = layout.rows_of(slice), padded_rows = layout.tiles_of(slice) * kTileRows;
  float values[kValues];
  unsigned largest_bits = 0;
  for (int i = 0; i < kValues; ++i) {
    const int k = i * kThreads + int(threadIdx.x);
    values[i] = k < num_rows ? value_of(k) : 0.0f;
    largest_bits = max(largest_bits, __float_as_uint(fabsf(values[i])));
  }
  const SliceScale scale = scale_of_slice(block_max(largest_bits), kLimbs);
  if (threadIdx.x == 0) out.scales[std::size_t(row) * layout.num_slices() + slice] = scale.to_value;

  for (int i = 0; i < kValues; ++i) {
    const int k = i * kThreads + int(threadIdx.x);
    if (k >= padded_rows) continue;
    int integer = scale.to_integer > 0 ? __float2int_rn(values[i] * scale.to_integer) : 0;
    for (int limb = 0; limb < kLimbs; ++limb) {
      const auto low = std::int8_t(integer);
      const std::size_t place = std::size_t(limb) * out.num_rows + row;
      out.limbs[place * layout.padded_rows() + std::size_t(layout.first_tile(slice)) * kTileRows + limb_place(k)] = low;
      integer = (integer - low) / 256;  // exact
    }
  }
}

}  // namespace grok::cuda
