#include <algorithm>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/product.h"

namespace grok::cuda {
namespace {

constexpr int kThreads = 256;

// One thread an output.
__global__ void __launch_bounds__(kThreads) store_product(float* out,  // [num_positions, d_out]
                                                          ProductResult product, int d_out) {
  pdl_sync();
  const int column = int(blockIdx.y) * kThreads + int(threadIdx.x);
  if (column < d_out) out[std::size_t(blockIdx.x) * d_out + column] = product.at(int(blockIdx.x), column);
}

}  // namespace

void CudaBackend::attention_out(const AttentionOut& op) {
  const auto& w = static_cast<const CudaMatrix&>(*op.w);
  const Activations x(op.x, op.num_tokens, op.x_quantized);
  for (int first = 0; first < op.num_tokens; first += kTokensAtOnce) {
    const int num_tokens = std::min(kTokensAtOnce, op.num_tokens - first);
    scratch_.clear();
    const CudaMatrix* const matrices[] = {&w};
    const Products products =
        multiply(matrices, x.part(first, num_tokens, w.d_in), options_.num_limbs,
                 all_positions(num_tokens, options_.num_limbs), traits_.num_multiprocessors, scratch_, stream_);
    const dim3 blocks(unsigned(num_tokens), unsigned((w.d_out + kThreads - 1) / kThreads));
    stream_.launch("attention_out", {.blocks = blocks, .threads = kThreads}, store_product,
                   op.out + std::size_t(first) * w.d_out, products[0], w.d_out);
  }
}

}  // namespace grok::cuda
