#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <bit>

#include "backend/cuda/reduce.h"

namespace grok {

// A block that works on one token's row has up to 8 values a thread: at one token nothing else runs, and each loop then waits
// for memory once or twice.
inline constexpr int kMostRowThreads = 1024;
inline int row_threads(int d_model) {
  return std::clamp(int(std::bit_ceil(unsigned(d_model) / 8)), kWarpSize, kMostRowThreads);
}

// 1 / sqrt(mean(x^2) + eps), by a whole block; `squares` are those of this thread's values.
// Source: xai-org/grok-1 model.py:RMSNorm
__device__ inline float inverse_rms(float squares, int d_model, float eps) {
  return 1.0f / sqrtf(block_sum(squares) / float(d_model) + eps);
}

}  // namespace grok
