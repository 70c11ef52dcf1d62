#pragma once

#include <cuda_runtime.h>

#include <type_traits>

#include "backend/cuda/digits.h"
#include "backend/cuda/reduce.h"

namespace grok {

// A block that works on one token's row has up to 8 values a thread: at one token nothing else runs, and each loop then waits
// for memory once or twice.
inline int row_threads(int d_model) { return d_model <= 2048 ? kDigitThreads : kMostDigitThreads; }

// The kernel for so many digits (0: none) and threads: kernel_of(digits, threads) names it, of two integral_constants.
template <typename KernelOf>
auto row_kernel(int num_digits, int threads, KernelOf kernel_of) {
  const auto with = [&](auto kThreads) {
    return num_digits == 0   ? kernel_of(std::integral_constant<int, 0>(), kThreads)
           : num_digits == 2 ? kernel_of(std::integral_constant<int, 2>(), kThreads)
                             : kernel_of(std::integral_constant<int, 3>(), kThreads);
  };
  return threads == kDigitThreads ? with(std::integral_constant<int, kDigitThreads>())
                                  : with(std::integral_constant<int, kMostDigitThreads>());
}

// The digits of the block's row, of which each thread wrote those values that it reads here, in one scale group.
template <int kDigits, int kThreads>
__device__ void split_row(const DigitRows& digits, const InputLayout& layout, const float* row) {
  for (int slice = 0; slice < layout.num_slices(); ++slice)
    split_slice<kDigits, kThreads>(digits, layout, int(blockIdx.x), slice,
                                   [&](int k) { return row[layout.first_row(slice) + k]; });
}

// 1 / sqrt(mean(x^2) + eps), by a whole block; `squares` are those of this thread's values.
// Source: xai-org/grok-1 model.py:RMSNorm
__device__ inline float inverse_rms(float squares, int d_model, float eps) {
  return 1.0f / sqrtf(block_sum(squares) / float(d_model) + eps);
}

}  // namespace grok
