#pragma once

#include <cuda_runtime.h>

#include "backend/cuda/reduce.h"

namespace grok {

// A block that works on one token's row: a few values a thread, since at one token nothing else runs, and each loop then
// waits for memory once.
inline constexpr int kRowThreads = 1024;

// 1 / sqrt(mean(x^2) + eps), by a whole block; `squares` are those of this thread's values.
// Source: xai-org/grok-1 model.py:RMSNorm
__device__ inline float inverse_rms(float squares, int d_model, float eps) {
  return 1.0f / sqrtf(block_sum(squares) / float(d_model) + eps);
}

}  // namespace grok
