#include "backend/cuda/digits.h"

#include <utility>

#include "backend/cuda/cuda_backend.h"

namespace grok::cuda {
namespace {

// One block a slice of a row.
template <int kDigits>
__global__ void __launch_bounds__(kDigitThreads) split(DigitRows out, const float* x, InputLayout layout) {
  take_turn();
  const int row = int(blockIdx.x), slice = int(blockIdx.y);
  const float* values = x + std::size_t(row) * layout.d_in() + layout.first_row(slice);
  split_slice<kDigits>(out, layout, row, slice, [&](int k) { return values[k]; });
}

}  // namespace

DigitRows digit_rows(int num_rows, int num_digits, const InputLayout& layout, DeviceScratch& scratch) {
  return {.digits = scratch.of<std::int8_t>(std::size_t(num_digits) * num_rows * layout.padded_rows()),
          .scales = scratch.of<float>(std::size_t(num_rows) * layout.num_slices()),
          .num_rows = num_rows};
}

DigitRows split_rows(const float* x, int num_rows, int num_digits, const InputLayout& layout, DeviceScratch& scratch,
                     Stream& stream) {
  const DigitRows rows = digit_rows(num_rows, num_digits, layout, scratch);
  const Spread spread{.blocks = dim3(unsigned(num_rows), unsigned(layout.num_slices())), .threads = kDigitThreads};
  stream.launch("splitting activations", spread, num_digits == 2 ? split<2> : split<3>, rows, x, layout);
  return rows;
}

DigitRows CudaBackend::leave_digits(const float* result, int num_rows, const InputLayout& layout) {
  left_ = {};
  if (!is_in_step_ || num_rows == 0 || num_rows > kTokensAtOnce) return {};
  kept_.clear();
  left_ = {result, num_rows, digit_rows(num_rows, options_.num_digits, layout, kept_), layout};
  return left_.digits;
}

Activations CudaBackend::activations(const float* values, int num_rows) {
  const Activations left = std::exchange(left_, {});
  if (left.values == values && left.num_rows == num_rows) return left;
  return {.values = values, .num_rows = num_rows};
}

}  // namespace grok::cuda
