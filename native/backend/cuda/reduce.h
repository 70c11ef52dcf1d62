#pragma once

#include <cuda_runtime.h>

#include "backend/cuda/device.h"

// Sums and maxima over the threads of a block, always in the same order: the same input gives the same bits.
namespace grok {

inline constexpr unsigned kAllLanes = 0xffffffffu;
inline constexpr int kWarpSize = 32;

// Every lane gets the result. combine must give the same bits for (a, b) and (b, a).
template <typename T, typename Combine>
__device__ T warp_reduce(T value, Combine combine) {
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2)
    value = combine(value, __shfl_xor_sync(kAllLanes, value, distance));
  return value;
}

// Every thread of the block gets the result; a barrier stands before and behind it. The block is 1, 2, 4 .. 32 whole warps.
template <typename T, typename Combine>
__device__ T block_reduce(T value, Combine combine) {
  struct Shared {
    T of_warp[kWarpSize];
  };
  Shared& shared = static_shared<Shared>();
  const int warp = int(threadIdx.x) / kWarpSize, lane = int(threadIdx.x) % kWarpSize;
  const int num_warps = int(blockDim.x) / kWarpSize;
  value = warp_reduce(value, combine);
  if (lane == 0) shared.of_warp[warp] = value;
  __syncthreads();
  value = shared.of_warp[lane % num_warps];
  for (int distance = num_warps / 2; distance > 0; distance /= 2)
    value = combine(value, __shfl_xor_sync(kAllLanes, value, distance));
  __syncthreads();  // the next reduction writes there
  return value;
}

template <typename T>
__device__ T block_sum(T value) {
  return block_reduce(value, [](T a, T b) { return a + b; });
}

template <typename T>
__device__ T block_max(T value) {
  return block_reduce(value, [](T a, T b) { return a > b ? a : b; });
}

}  // namespace grok
