#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/norm.h"

namespace grok {
namespace {

// One block a token. A thread reads and writes the same values in every loop, so they need no barrier. One block a
// multiprocessor is enough: left to guess, the compiler spills to have room for more.
template <int kDigits, int kThreads>
__global__ void __launch_bounds__(kThreads, 1) add_norm_tokens(AddNorm op, DigitRows digits, InputLayout layout) {
  take_turn();
  const float* y = op.y + std::size_t(blockIdx.x) * op.d_model;
  float* residual = op.residual + std::size_t(blockIdx.x) * op.d_model;
  float* out = op.out + std::size_t(blockIdx.x) * op.d_model;

  float squares = 0;
  for (int i = int(threadIdx.x); i < op.d_model; i += kThreads) squares += y[i] * y[i];
  const float inv_rms_y = inverse_rms(squares, op.d_model, op.eps);

  squares = 0;
  for (int i = int(threadIdx.x); i < op.d_model; i += kThreads) {
    const float sum = residual[i] + y[i] * inv_rms_y * op.post_weight[i];
    residual[i] = sum;
    squares += sum * sum;
  }
  const float inv_rms = inverse_rms(squares, op.d_model, op.eps);
  for (int i = int(threadIdx.x); i < op.d_model; i += kThreads) out[i] = residual[i] * inv_rms * op.pre_weight[i];
  if constexpr (kDigits > 0) split_row<kDigits, kThreads>(digits, layout, out);
}

}  // namespace

void CudaBackend::add_norm(const AddNorm& op) {
  const InputLayout layout{.group_rows = op.d_model, .num_groups = 1};
  const DigitRows digits = leave_digits(op.out, op.num_tokens, layout);
  const int threads = row_threads(op.d_model), num_digits = digits.num_rows == 0 ? 0 : options_.num_digits;
  stream_.launch(
      "add_norm", {.blocks = unsigned(op.num_tokens), .threads = threads},
      row_kernel(num_digits, threads, [](auto kDigits, auto kThreads) { return add_norm_tokens<kDigits, kThreads>; }),
      op, digits, layout);
}

}  // namespace grok
