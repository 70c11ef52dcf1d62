#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/ops/norm.h"

namespace grok::cpu {

void CpuBackend::add_norm(const AddNorm& op) {
  for (int token = 0; token < op.num_tokens; ++token) {
    const float* y = op.y + std::size_t(token) * op.d_model;
    float* residual = op.residual + std::size_t(token) * op.d_model;
    float* out = op.out + std::size_t(token) * op.d_model;

    const float inv_rms_y = inverse_rms(y, op.d_model, op.eps, kernels_);
    for (int i = 0; i < op.d_model; ++i) residual[i] += y[i] * inv_rms_y * op.post_weight[i];

    const float inv_rms = inverse_rms(residual, op.d_model, op.eps, kernels_);
    for (int i = 0; i < op.d_model; ++i) out[i] = residual[i] * inv_rms * op.pre_weight[i];
  }
}

}  // namespace grok::cpu
