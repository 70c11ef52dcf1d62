#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/device.h"

namespace grok {
namespace {

constexpr int kThreads = 256;

// One block a token.
// Limited by memory: reads and writes d_model values a token.
__global__ void __launch_bounds__(kThreads) embed_tokens(float* out,         // [num_tokens, d_model]
                                                         const float* rows,  // [vocab_size, d_model]
                                                         const std::int32_t* tokens, float scale, int d_model) {
  take_turn();
  const std::size_t token = blockIdx.x;
  const float* row = rows + std::size_t(tokens[token]) * d_model;
  for (int i = int(threadIdx.x); i < d_model; i += kThreads) out[token * d_model + i] = row[i] * scale;
}

}  // namespace

// Any kernel of the binary says whether it has code for this device.
cudaError_t find_kernels() {
  cudaFuncAttributes attributes;
  const cudaError_t error = cudaFuncGetAttributes(&attributes, embed_tokens);
  cudaGetLastError();
  return error;
}

void CudaBackend::embed(const Embed& op) {
  left_ = {};
  const auto& table = static_cast<const CudaTable&>(*op.table);
  stream_.launch("embed", {.blocks = unsigned(op.batch->num_tokens), .threads = kThreads}, embed_tokens, op.out,
                 table.rows(), op.batch->tokens, op.scale, table.d_model);
}

}  // namespace grok
