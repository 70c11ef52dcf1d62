#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/norm.h"

namespace grok::cuda {
namespace {

// One block a token whose row fits registers.
template <int kLimbs>
__global__ void __launch_bounds__(kRowThreads, 1) add_norm_tokens(AddNorm op, LimbRows limbs, InputLayout layout) {
  const Row post_weight = load_row(op.post_weight, op.d_model), pre_weight = load_row(op.pre_weight, op.d_model);
  pdl_wait();
  pdl_trigger();  // as in attention.cu
  const std::size_t start = std::size_t(blockIdx.x) * op.d_model;
  const Row y = load_row(op.y + start, op.d_model);
  Row residual = load_row(op.residual + start, op.d_model);

  const float inv_rms_y = inverse_rms<0>(y, op.d_model, op.eps);
#pragma unroll
  for (int i = 0; i < kRowValues; ++i) residual.values[i] += y.values[i] * inv_rms_y * post_weight.values[i];
  store_row(op.residual + start, residual, op.d_model);

  const float inv_rms = inverse_rms<1>(residual, op.d_model, op.eps);
  Row out;
#pragma unroll
  for (int i = 0; i < kRowValues; ++i) out.values[i] = residual.values[i] * inv_rms * pre_weight.values[i];
  store_row(op.out + start, out, op.d_model);
  if constexpr (kLimbs > 0) quantize_row<kLimbs>(limbs, layout, out);
}

// One block a token, with a row of any size. A thread reads and writes the same values in every loop, so no barrier is
// needed between the loops.
template <int kLimbs>
__global__ void __launch_bounds__(kRowThreads, 1) add_norm_any_tokens(AddNorm op, LimbRows limbs, InputLayout layout) {
  pdl_sync();
  const float* y = op.y + std::size_t(blockIdx.x) * op.d_model;
  float* residual = op.residual + std::size_t(blockIdx.x) * op.d_model;
  float* out = op.out + std::size_t(blockIdx.x) * op.d_model;

  float squares = 0;
  for (int i = int(threadIdx.x); i < op.d_model; i += kRowThreads) squares += y[i] * y[i];
  const float inv_rms_y = inverse_rms<0>(squares, op.d_model, op.eps);

  squares = 0;
  for (int i = int(threadIdx.x); i < op.d_model; i += kRowThreads) {
    const float sum = residual[i] + y[i] * inv_rms_y * op.post_weight[i];
    residual[i] = sum;
    squares += sum * sum;
  }
  const float inv_rms = inverse_rms<1>(squares, op.d_model, op.eps);
  for (int i = int(threadIdx.x); i < op.d_model; i += kRowThreads) out[i] = residual[i] * inv_rms * op.pre_weight[i];
  if constexpr (kLimbs > 0) quantize_row<kLimbs>(limbs, layout, out);
}

}  // namespace

void CudaBackend::add_norm(const AddNorm& op) {
  const Activations out(op.out, op.num_tokens, op.out_quantized);
  const bool fits = fits_registers(op.d_model, out.layout);
  stream_.launch("add_norm", {.blocks = unsigned(op.num_tokens), .threads = kRowThreads},
                 row_kernel(out.limbs.num_rows == 0 ? 0 : options_.num_limbs,
                            [&](auto kLimbs) { return fits ? add_norm_tokens<kLimbs> : add_norm_any_tokens<kLimbs>; }),
                 op, out.limbs, out.layout);
}

}  // namespace grok::cuda
