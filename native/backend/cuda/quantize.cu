#include "backend/cuda/quantize.h"

#include <algorithm>

#include "backend/cuda/footprint.h"

namespace grok::cuda {
namespace {

// One block a slice of a row.
template <int kLimbs>
__global__ void __launch_bounds__(kQuantizeThreads) quantize(LimbRows out, const float* x, InputLayout layout) {
  pdl_sync();
  const int row = int(blockIdx.x), slice = int(blockIdx.y);
  const float* values = x + std::size_t(row) * layout.d_in() + layout.first_row(slice);
  quantize_slice<kLimbs>(out, layout, row, slice, [&](int k) { return values[k]; });
}

}  // namespace

LimbRows limb_rows(int num_rows, int num_limbs, const InputLayout& layout, DeviceScratch& scratch) {
  return {.limbs = scratch.of<std::int8_t>(std::size_t(num_limbs) * num_rows * layout.padded_rows()),
          .scales = scratch.of<float>(std::size_t(num_rows) * layout.num_slices()),
          .num_rows = num_rows};
}

LimbRows quantize_rows(const float* x, int num_rows, int num_limbs, const InputLayout& layout, DeviceScratch& scratch,
                       Stream& stream) {
  const LimbRows rows = limb_rows(num_rows, num_limbs, layout, scratch);
  const LaunchConfig config{.blocks = dim3(unsigned(num_rows), unsigned(layout.num_slices())),
                            .threads = kQuantizeThreads};
  stream.launch("quantizing activations", config, num_limbs == 2 ? quantize<2> : quantize<3>, rows, x, layout);
  return rows;
}

namespace {

InputLayout layout_of(const QuantizedShape& shape) {
  return {.group_rows = shape.width / shape.num_groups, .num_groups = shape.num_groups};
}

LimbRows most_limb_rows(const QuantizedShape& shape, int num_limbs, DeviceScratch& scratch) {
  return limb_rows(std::min(shape.num_rows, kTokensAtOnce), num_limbs, layout_of(shape), scratch);
}

}  // namespace

CudaQuantizedRows::CudaQuantizedRows(const QuantizedShape& shape, int num_limbs) : layout(layout_of(shape)) {
  memory_.reserve(size_bytes(shape, num_limbs));
  most_ = most_limb_rows(shape, num_limbs, memory_);
}

std::size_t CudaQuantizedRows::size_bytes(const QuantizedShape& shape, int num_limbs) {
  DeviceScratch scratch = DeviceScratch::counting();
  most_limb_rows(shape, num_limbs, scratch);
  return scratch.used_bytes();
}

LimbRows CudaQuantizedRows::limbs(int num_rows) const {
  if (num_rows > most_.num_rows) return {};
  return {.limbs = most_.limbs, .scales = most_.scales, .num_rows = num_rows};
}

Activations::Activations(const float* values, int num_rows, const QuantizedRows* quantized)
    : values(values), num_rows(num_rows) {
  if (!quantized) return;
  const auto& rows = static_cast<const CudaQuantizedRows&>(*quantized);
  limbs = rows.limbs(num_rows);
  layout = rows.layout;
}

Activations Activations::part(int first, int count, int d_in) const {
  Activations rows = *this;
  rows.values += std::size_t(first) * d_in;
  rows.num_rows = count;
  return rows;
}

}  // namespace grok::cuda
