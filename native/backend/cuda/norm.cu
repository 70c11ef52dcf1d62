#include "backend/cuda/norm.h"

#include "backend/cuda/cuda_backend.h"

namespace grok::cuda {
namespace {

// One block a token whose row fits registers.
template <int kLimbs>
__global__ void __launch_bounds__(kRowThreads, 1) norm_tokens(Norm op, LimbRows limbs, InputLayout layout) {
  const Row weight = load_row(op.weight, op.d_model);
  pdl_wait();
  pdl_trigger();  // as in attention.cu
  const std::size_t start = std::size_t(blockIdx.x) * op.d_model;
  Row x = load_row(op.x + start, op.d_model);

  const float inv_rms = inverse_rms<0>(x, op.d_model, op.eps);
#pragma unroll
  for (int i = 0; i < kRowValues; ++i) x.values[i] = x.values[i] * inv_rms * weight.values[i];
  store_row(op.out + start, x, op.d_model);
  if constexpr (kLimbs > 0) quantize_row<kLimbs>(limbs, layout, x);
}

// One block a token, with a row of any size.
template <int kLimbs>
__global__ void __launch_bounds__(kRowThreads, 1) norm_any_tokens(Norm op, LimbRows limbs, InputLayout layout) {
  pdl_sync();
  const float* x = op.x + std::size_t(blockIdx.x) * op.d_model;
  float* out = op.out + std::size_t(blockIdx.x) * op.d_model;

  float squares = 0;
  for (int i = int(threadIdx.x); i < op.d_model; i += kRowThreads) squares += x[i] * x[i];
  const float inv_rms = inverse_rms<0>(squares, op.d_model, op.eps);
  for (int i = int(threadIdx.x); i < op.d_model; i += kRowThreads) out[i] = x[i] * inv_rms * op.weight[i];
  if constexpr (kLimbs > 0) quantize_row<kLimbs>(limbs, layout, out);
}

}  // namespace

void CudaBackend::norm(const Norm& op) {
  const Activations out(op.out, op.num_tokens, op.out_quantized);
  const bool fits = fits_registers(op.d_model, out.layout);
  stream_.launch("norm", {.blocks = unsigned(op.num_tokens), .threads = kRowThreads},
                 row_kernel(out.limbs.num_rows == 0 ? 0 : options_.num_limbs,
                            [&](auto kLimbs) { return fits ? norm_tokens<kLimbs> : norm_any_tokens<kLimbs>; }),
                 op, out.limbs, out.layout);
}

}  // namespace grok::cuda
