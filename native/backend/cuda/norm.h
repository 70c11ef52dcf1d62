#pragma once

#include <cuda_runtime.h>

#include <type_traits>

#include "backend/cuda/quantize.h"
#include "backend/cuda/reduce.h"

// One block a row. With one token nothing else runs, so the number of times that block waits decides its speed. A row
// that fits registers is loaded at once and stays there, and each sum over it costs one barrier.
namespace grok::cuda {

inline constexpr int kRowThreads = 512;
inline constexpr int kRowValues = 12;  // per thread: d_model is 6,144
inline constexpr int kMostRowInputs = kRowThreads * kRowValues;

// A row in registers is split in one scale group.
inline bool fits_registers(int d_model, const InputLayout& layout) {
  return d_model <= kMostRowInputs && d_model % 4 == 0 && layout.num_groups <= 1;
}

// The kernel for num_limbs limbs (0: no quantized copy). kernel_of returns it for an integral_constant.
template <typename KernelOf>
auto row_kernel(int num_limbs, KernelOf kernel_of) {
  return num_limbs == 0   ? kernel_of(std::integral_constant<int, 0>())
         : num_limbs == 2 ? kernel_of(std::integral_constant<int, 2>())
                          : kernel_of(std::integral_constant<int, 3>());
}

// A thread's part of a row: groups of four inputs, interleaved with those of other threads. Zeros past the end.
struct Row {
  float values[kRowValues];
};

// The first input of the group of four at an index.
__device__ inline int first_input(int index) { return index * kRowThreads + 4 * int(threadIdx.x); }

__device__ inline Row load_row(const float* from, int d_model) {
  Row row;
#pragma unroll
  for (int i = 0; i < kRowValues; i += 4) {
    const int first = first_input(i);
    const float4 four = first < d_model ? *reinterpret_cast<const float4*>(from + first) : make_float4(0, 0, 0, 0);
    row.values[i] = four.x, row.values[i + 1] = four.y, row.values[i + 2] = four.z, row.values[i + 3] = four.w;
  }
  return row;
}

__device__ inline void store_row(float* to, const Row& row, int d_model) {
#pragma unroll
  for (int i = 0; i < kRowValues; i += 4) {
    const int first = first_input(i);
    const float* four = row.values + i;
    if (first < d_model) *reinterpret_cast<float4*>(to + first) = make_float4(four[0], four[1], four[2], four[3]);
  }
}

// 1 / sqrt(mean(x^2) + eps), by a whole block. `squares` is the sum of this thread's squares. Each call in a kernel has
// its own kTurn, and so its own shared memory. Source: xai-org/grok-1 model.py:RMSNorm
template <int kTurn>
__device__ float inverse_rms(float squares, int d_model, float eps) {
  struct Shared {
    float of_warp[kWarpSize];
  };
  const float sum = block_reduce(
      squares, [](float a, float b) { return a + b; }, static_shared<Shared>().of_warp);
  return 1.0f / sqrtf(sum / float(d_model) + eps);
}

template <int kTurn>
__device__ float inverse_rms(const Row& row, int d_model, float eps) {
  float squares = 0;
#pragma unroll
  for (const float value : row.values) squares += value * value;
  return inverse_rms<kTurn>(squares, d_model, eps);
}

// Quantizes the block's row, in one scale group. The largest values of all slices are found at once, because the groups
// of four of a warp lie in one slice.
template <int kLimbs>
__device__ void quantize_row(const LimbRows& out, const InputLayout& layout, const Row& row) {
  constexpr int kWarpInputs = 4 * kWarpSize, kParts = kSliceRows / kWarpInputs;
  struct Shared {
    unsigned largest_bits[kMostRowInputs / kWarpInputs];
  };
  Shared& shared = static_shared<Shared>();
  const int lane = int(threadIdx.x) % kWarpSize;
#pragma unroll
  for (int i = 0; i < kRowValues; i += 4) {
    unsigned largest_bits = 0;
#pragma unroll
    for (int j = i; j < i + 4; ++j) largest_bits = max(largest_bits, __float_as_uint(fabsf(row.values[j])));
    largest_bits = __reduce_max_sync(kAllLanes, largest_bits);
    if (lane == 0) shared.largest_bits[first_input(i) / kWarpInputs] = largest_bits;
  }
  __syncthreads();  // the largest values of all warps are written

  unsigned largest_bits[kRowValues / 4];  // per group of four: bits of its slice's largest value
#pragma unroll
  for (int i = 0; i < kRowValues; i += 4) {
    const int slice = first_input(i) / kSliceRows;
    largest_bits[i / 4] = __reduce_max_sync(kAllLanes, shared.largest_bits[slice * kParts + lane % kParts]);
  }
#pragma unroll
  for (int i = 0; i < kRowValues; i += 4) {
    const int first = first_input(i);
    if (first >= layout.padded_rows()) return;
    const SliceScale scale = scale_of_slice(largest_bits[i / 4], kLimbs);
    if (first % kSliceRows == 0)
      out.scales[std::size_t(blockIdx.x) * layout.num_slices() + first / kSliceRows] = scale.to_value;

    unsigned limbs[4];  // one byte each: adding and subtracting the offset turns unsigned bytes into signed ones
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int integer = scale.to_integer > 0 ? __float2int_rn(row.values[i + j] * scale.to_integer) : 0;
      limbs[j] = (unsigned(integer) + 0x808080u) ^ 0x808080u;
    }
#pragma unroll
    for (int limb = 0; limb < kLimbs; ++limb) {
      unsigned four = 0;
#pragma unroll
      for (int j = 0; j < 4; ++j) four |= (limbs[j] >> (8 * limb) & 0xff) << (8 * j);
      const std::size_t place = (std::size_t(limb) * out.num_rows + blockIdx.x) * layout.padded_rows();
      *reinterpret_cast<unsigned*>(out.limbs + place + limb_place(first)) = four;
    }
  }
}

// The same for a row in memory. Each thread reads the values that it wrote itself: every kRowThreads-th.
template <int kLimbs>
__device__ void quantize_row(const LimbRows& limbs, const InputLayout& layout, const float* row) {
  for (int slice = 0; slice < layout.num_slices(); ++slice)
    quantize_slice<kLimbs, kRowThreads>(limbs, layout, int(blockIdx.x), slice,
                                        [&](int k) { return row[layout.first_row(slice) + k]; });
}

}  // namespace grok::cuda
