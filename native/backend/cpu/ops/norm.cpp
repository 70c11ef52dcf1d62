#include "backend/cpu/ops/norm.h"

#include "backend/cpu/cpu_backend.h"

namespace grok::cpu {

void CpuBackend::norm(const Norm& op) {
  for (int token = 0; token < op.num_tokens; ++token) {
    const float* x = op.x + std::size_t(token) * op.d_model;
    float* out = op.out + std::size_t(token) * op.d_model;

    const float inv_rms = inverse_rms(x, op.d_model, op.eps, kernels_);
    for (int i = 0; i < op.d_model; ++i) out[i] = x[i] * inv_rms * op.weight[i];
  }
}

}  // namespace grok::cpu
