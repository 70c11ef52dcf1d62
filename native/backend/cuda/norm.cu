#include "backend/cuda/norm.h"

#include "backend/cuda/cuda_backend.h"

namespace grok {
namespace {

// One block a token.
template <int kDigits, int kThreads>
__global__ void __launch_bounds__(kThreads, 1) norm_tokens(Norm op, DigitRows digits, InputLayout layout) {
  take_turn();
  const float* x = op.x + std::size_t(blockIdx.x) * op.d_model;
  float* out = op.out + std::size_t(blockIdx.x) * op.d_model;

  float squares = 0;
  for (int i = int(threadIdx.x); i < op.d_model; i += kThreads) squares += x[i] * x[i];
  const float inv_rms = inverse_rms(squares, op.d_model, op.eps);
  for (int i = int(threadIdx.x); i < op.d_model; i += kThreads) out[i] = x[i] * inv_rms * op.weight[i];
  if constexpr (kDigits > 0) split_row<kDigits, kThreads>(digits, layout, out);
}

}  // namespace

void CudaBackend::norm(const Norm& op) {
  const InputLayout layout{.group_rows = op.d_model, .num_groups = 1};
  const DigitRows digits = leave_digits(op.out, op.num_tokens, layout);
  const int threads = row_threads(op.d_model), num_digits = digits.num_rows == 0 ? 0 : options_.num_digits;
  stream_.launch(
      "norm", {.blocks = unsigned(op.num_tokens), .threads = threads},
      row_kernel(num_digits, threads, [](auto kDigits, auto kThreads) { return norm_tokens<kDigits, kThreads>; }), op,
      digits, layout);
}

}  // namespace grok
