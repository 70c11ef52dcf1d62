#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/norm.h"

namespace grok {
namespace {

// One block a token. A thread reads and writes the same values in every loop, so they need no barrier.
__global__ void __launch_bounds__(kMostRowThreads) add_norm_tokens(AddNorm op) {
  take_turn();
  const float* y = op.y + std::size_t(blockIdx.x) * op.d_model;
  float* residual = op.residual + std::size_t(blockIdx.x) * op.d_model;
  float* out = op.out + std::size_t(blockIdx.x) * op.d_model;

  float squares = 0;
  for (int i = int(threadIdx.x); i < op.d_model; i += int(blockDim.x)) squares += y[i] * y[i];
  const float inv_rms_y = inverse_rms(squares, op.d_model, op.eps);

  squares = 0;
  for (int i = int(threadIdx.x); i < op.d_model; i += int(blockDim.x)) {
    const float sum = residual[i] + y[i] * inv_rms_y * op.post_weight[i];
    residual[i] = sum;
    squares += sum * sum;
  }
  const float inv_rms = inverse_rms(squares, op.d_model, op.eps);
  for (int i = int(threadIdx.x); i < op.d_model; i += int(blockDim.x))
    out[i] = residual[i] * inv_rms * op.pre_weight[i];
}

}  // namespace

void CudaBackend::add_norm(const AddNorm& op) {
  stream_.launch("add_norm", {.blocks = unsigned(op.num_tokens), .threads = row_threads(op.d_model)}, add_norm_tokens,
                 op);
}

}  // namespace grok
