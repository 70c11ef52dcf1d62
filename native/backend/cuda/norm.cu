#include "backend/cuda/norm.h"

#include "backend/cuda/cuda_backend.h"

namespace grok {
namespace {

// One block a token.
__global__ void __launch_bounds__(kMostRowThreads) norm_tokens(Norm op) {
  take_turn();
  const float* x = op.x + std::size_t(blockIdx.x) * op.d_model;
  float* out = op.out + std::size_t(blockIdx.x) * op.d_model;

  float squares = 0;
  for (int i = int(threadIdx.x); i < op.d_model; i += int(blockDim.x)) squares += x[i] * x[i];
  const float inv_rms = inverse_rms(squares, op.d_model, op.eps);
  for (int i = int(threadIdx.x); i < op.d_model; i += int(blockDim.x)) out[i] = x[i] * inv_rms * op.weight[i];
}

}  // namespace

void CudaBackend::norm(const Norm& op) {
  stream_.launch("norm", {.blocks = unsigned(op.num_tokens), .threads = row_threads(op.d_model)}, norm_tokens, op);
}

}  // namespace grok
