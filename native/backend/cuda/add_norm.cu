#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/norm.h"

namespace grok {
namespace {

constexpr int kThreads = 256;

// One block a token. A thread reads and writes the same values in every loop, so they need no barrier.
__global__ void __launch_bounds__(kThreads) add_norm_tokens(AddNorm op) {
  take_turn();
  const float* y = op.y + std::size_t(blockIdx.x) * op.d_model;
  float* residual = op.residual + std::size_t(blockIdx.x) * op.d_model;
  float* out = op.out + std::size_t(blockIdx.x) * op.d_model;

  const float inv_rms_y = inverse_rms(y, op.d_model, op.eps);
  for (int i = int(threadIdx.x); i < op.d_model; i += kThreads) residual[i] += y[i] * inv_rms_y * op.post_weight[i];

  const float inv_rms = inverse_rms(residual, op.d_model, op.eps);
  for (int i = int(threadIdx.x); i < op.d_model; i += kThreads) out[i] = residual[i] * inv_rms * op.pre_weight[i];
}

}  // namespace

void CudaBackend::add_norm(const AddNorm& op) {
  stream_.launch("add_norm", {.blocks = unsigned(op.num_tokens), .threads = kThreads}, add_norm_tokens, op);
}

}  // namespace grok
