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

// Every thread of the block gets the result; a barrier stands before and behind it. blockDim.x is a multiple of 32.
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
  T total = shared.of_warp[0];
  for (int other = 1; other < num_warps; ++other) total = combine(total, shared.of_warp[other]);
  __syncthreads();  // the next reduction writes there
  return total;
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
