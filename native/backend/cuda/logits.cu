#include <algorithm>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/packed_table.h"
#include "backend/cuda/product.h"

namespace grok::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kOutputsAtOnce = 32;  // outputs that share one pass over the table: 6 MB of scratch each for Grok-1

// One block a slice of a row of activations.
template <int kLimbs>
__global__ void __launch_bounds__(kQuantizeThreads)
    quantize_outputs(LimbRows out, const float* x, const std::int32_t* output_rows, InputLayout layout) {
  pdl_sync();
  const int output = int(blockIdx.x), slice = int(blockIdx.y);
  const float* values = x + std::size_t(output_rows[output]) * layout.d_in() + layout.first_row(slice);
  quantize_slice<kLimbs>(out, layout, output, slice, [&](int k) { return values[k]; });
}

// One thread a logit: adds the products of its row's limbs, the highest first.
template <int kLimbs>
__global__ void __launch_bounds__(kThreads) sum_limbs(float* out,  // [num_outputs, vocab_size]
                                                      ProductResult product, float scale, int vocab_size) {
  pdl_sync();
  const int output = int(blockIdx.y), row = int(blockIdx.x) * kThreads + int(threadIdx.x);
  if (row >= vocab_size) return;
  float sum = 0;
#pragma unroll
  for (int limb = kLimbs - 1; limb >= 0; --limb) sum += product.at(output, limb_column<kLimbs>(row, limb));
  out[std::size_t(output) * vocab_size + row] = scale * sum;
}

}  // namespace

void count_logits(const MatrixShape& table, int num_outputs, int num_limbs, DeviceScratch& scratch) {
  const MatrixShape* const columns[] = {&table};
  const int at_once = std::min(num_outputs, kOutputsAtOnce);
  count_product(columns, at_once, at_once, num_limbs, scratch);
}

// Limited by memory: reads the table once for up to 32 outputs.
void CudaBackend::logits(const Logits& op) {
  const auto& table = static_cast<const CudaTable&>(*op.table);
  const InputLayout& layout = table.columns().layout;
  const CudaMatrix* const columns[] = {&table.columns()};
  const int num_limbs = options_.num_limbs;
  const Activations x(op.x, op.batch->num_tokens, op.x_quantized);
  const bool are_there = x.limbs.num_rows > 0 && x.layout == layout;

  for (int first = 0; first < op.batch->num_outputs; first += kOutputsAtOnce) {
    const int num_outputs = std::min(kOutputsAtOnce, op.batch->num_outputs - first);
    const std::int32_t* const output_rows = op.batch->output_rows + first;
    scratch_.clear();
    JobList outputs = all_positions(num_outputs, num_limbs);
    LimbRows rows = x.limbs;
    if (are_there) {
      outputs.row_of_position = output_rows;
    } else {
      rows = limb_rows(num_outputs, num_limbs, layout, scratch_);
      stream_.launch(
          "logits: quantizing",
          {.blocks = dim3(unsigned(num_outputs), unsigned(layout.num_slices())), .threads = kQuantizeThreads},
          num_limbs == 2 ? quantize_outputs<2> : quantize_outputs<3>, rows, op.x, output_rows, layout);
    }
    const Products products =
        multiply(columns, rows, num_limbs, outputs, traits_.num_multiprocessors, scratch_, stream_);
    stream_.launch("logits",
                   {.blocks = dim3(unsigned((table.vocab_size + kThreads - 1) / kThreads), unsigned(num_outputs)),
                    .threads = kThreads},
                   num_limbs == 2 ? sum_limbs<2> : sum_limbs<3>, op.out + std::size_t(first) * table.vocab_size,
                   products[0], op.scale, table.vocab_size);
  }
}

}  // namespace grok::cuda
