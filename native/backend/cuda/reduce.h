#pragma once

#include <cuda_runtime.h>

#include "backend/cuda/device.h"

// Sums and maxima over the threads of a block, always in the same order: the same input gives the same bits.
namespace grok::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffu;
inline constexpr int kWarpSize = 32;

// Every lane gets the result. combine must give the same bits for (a, b) and (b, a).
template <typename T, typename Combine>
__device__ T warp_reduce(T value, Combine combine) {
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2)
    value = combine(value, __shfl_xor_sync(kAllLanes, value, distance));
  return value;
}

// Reduces each of the first kCount values over the lanes; lane i gets the result of value i % kCount. Lanes exchange
// half of the values, then half of the partial results, and so on. kCount is a power of two up to 32; the values are
// overwritten.
template <int kCount, typename T, int kSize>
__device__ T lane_sums(T (&values)[kSize]) {
  if constexpr (kCount == 1) {
    T sum = values[0];
#pragma unroll
    for (int distance = kSize; distance < kWarpSize; distance *= 2) sum += __shfl_xor_sync(kAllLanes, sum, distance);
    return sum;
  } else {
    constexpr int kHalf = kCount / 2;
    const bool is_upper = (int(threadIdx.x) & kHalf) != 0;
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const T own = is_upper ? values[i + kHalf] : values[i], sent = is_upper ? values[i] : values[i + kHalf];
      values[i] = own + __shfl_xor_sync(kAllLanes, sent, kHalf);
    }
    return lane_sums<kHalf>(values);
  }
}

// Every thread of the block gets the result. There is one barrier, before `of_warp` is read, so the shared memory must
// not be written again before another barrier. The number of warps is a power of two.
template <typename T, typename Combine>
__device__ T block_reduce(T value, Combine combine, T (&of_warp)[kWarpSize]) {
  const int warp = int(threadIdx.x) / kWarpSize, lane = int(threadIdx.x) % kWarpSize;
  const int num_warps = int(blockDim.x) / kWarpSize;
  value = warp_reduce(value, combine);
  if (lane == 0) of_warp[warp] = value;
  __syncthreads();
  value = of_warp[lane & (num_warps - 1)];
  for (int distance = num_warps / 2; distance > 0; distance /= 2)
    value = combine(value, __shfl_xor_sync(kAllLanes, value, distance));
  return value;
}

// The same with a barrier after it, too, so that calls can follow each other. Uses few registers.
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
  __syncthreads();  // the next reduction writes to the same memory
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

// Running sum over the lanes up to this one. All lanes call it.
template <typename T>
__device__ T warp_running_sum(T value) {
#pragma unroll
  for (int distance = 1; distance < kWarpSize; distance *= 2) {
    const T lower = __shfl_up_sync(kAllLanes, value, unsigned(distance));
    if (int(threadIdx.x) % kWarpSize >= distance) value += lower;
  }
  return value;
}

template <typename T>
struct Running {
  T before;  // sum of the threads before this one
  T total;   // sum of all threads
};

// Running sum of integers, whose order does not matter. Every thread of the block calls it; there is a barrier before
// and after it.
template <typename T>
__device__ Running<T> running_sum(T value) {
  struct Shared {
    T of_warp[kWarpSize];
  };
  Shared& shared = static_shared<Shared>();
  const int warp = int(threadIdx.x) / kWarpSize, lane = int(threadIdx.x) % kWarpSize;
  const T up_to = warp_running_sum(value);
  if (lane == kWarpSize - 1) shared.of_warp[warp] = up_to;
  __syncthreads();
  const T of_lane = lane < int(blockDim.x) / kWarpSize ? shared.of_warp[lane] : T(0);  // the sum of warp `lane`
  const T warps_up_to = warp_running_sum(of_lane);
  __syncthreads();  // the next sum writes to the same memory
  return {__shfl_sync(kAllLanes, warps_up_to - of_lane, warp) + up_to - value,
          __shfl_sync(kAllLanes, warps_up_to, kWarpSize - 1)};
}

}  // namespace grok::cuda
