#pragma once

#include <cmath>
#include <cstddef>

#include "backend/cpu/isa/kernels.h"

namespace grok::cpu {

// 1 / sqrt(mean(x^2) + eps). Source: xai-org/grok-1 model.py:RMSNorm
inline float inverse_rms(const float* x, int d_model, float eps, const Kernels& kernels) {
  return 1.0f / std::sqrt(kernels.dot(x, x, d_model) / float(d_model) + eps);
}

}  // namespace grok::cpu
