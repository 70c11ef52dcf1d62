#pragma once

#include <cuda_runtime.h>

#include "backend/cuda/reduce.h"

namespace grok {

// 1 / sqrt(mean(x^2) + eps), by a whole block for one token. Source: xai-org/grok-1 model.py:RMSNorm
__device__ inline float inverse_rms(const float* x, int d_model, float eps) {
  float squares = 0;
  for (int i = int(threadIdx.x); i < d_model; i += int(blockDim.x)) squares += x[i] * x[i];
  return 1.0f / sqrtf(block_sum(squares) / float(d_model) + eps);
}

}  // namespace grok
