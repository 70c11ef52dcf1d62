#include "backend/cuda/digits.h"

#include <algorithm>

#include "backend/cuda/footprint.h"

namespace grok::cuda {
namespace {

// One block a slice of a row.
template <int kDigits>
__global__ void __launch_bounds__(kDigitThreads) split(DigitRows out, const float* x, InputLayout layout) {
  pdl_sync();
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
  const LaunchConfig config{.blocks = dim3(unsigned(num_rows), unsigned(layout.num_slices())),
                            .threads = kDigitThreads};
  stream.launch("splitting activations", config, num_digits == 2 ? split<2> : split<3>, rows, x, layout);
  return rows;
}

namespace {

InputLayout layout_of(const QuantizedShape& shape) {
  return {.group_rows = shape.width / shape.num_groups, .num_groups = shape.num_groups};
}

DigitRows most_digit_rows(const QuantizedShape& shape, int num_digits, DeviceScratch& scratch) {
  return digit_rows(std::min(shape.num_rows, kTokensAtOnce), num_digits, layout_of(shape), scratch);
}

}  // namespace

CudaQuantizedRows::CudaQuantizedRows(const QuantizedShape& shape, int num_digits) : layout(layout_of(shape)) {
  memory_.reserve(size_bytes(shape, num_digits));
  most_ = most_digit_rows(shape, num_digits, memory_);
}

std::size_t CudaQuantizedRows::size_bytes(const QuantizedShape& shape, int num_digits) {
  DeviceScratch scratch = DeviceScratch::counting();
  most_digit_rows(shape, num_digits, scratch);
  return scratch.used_bytes();
}

DigitRows CudaQuantizedRows::digits(int num_rows) const {
  if (num_rows > most_.num_rows) return {};
  return {.digits = most_.digits, .scales = most_.scales, .num_rows = num_rows};
}

Activations::Activations(const float* values, int num_rows, const QuantizedRows* quantized)
    : values(values), num_rows(num_rows) {
  if (!quantized) return;
  const auto& rows = static_cast<const CudaQuantizedRows&>(*quantized);
  digits = rows.digits(num_rows);
  layout = rows.layout;
}

Activations Activations::part(int first, int count, int d_in) const {
  Activations rows = *this;
  rows.values += std::size_t(first) * d_in;
  rows.num_rows = count;
  return rows;
}

}  // namespace grok::cuda
