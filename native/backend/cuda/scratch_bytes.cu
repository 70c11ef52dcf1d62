#include <algorithm>

#include "backend/cuda/footprint.h"
#include "backend/cuda/packed_table.h"
#include "backend/cuda/product.h"
#include "backend/cuda/quantize.h"

namespace grok::cuda {

std::size_t CudaFootprint::operation_bytes(const StepSize& largest) const {
  const int num_tokens = std::min(largest.num_tokens, kTokensAtOnce);
  std::size_t most = 0;
  const auto count = [&](const auto& body) {
    DeviceScratch scratch = DeviceScratch::counting();
    body(scratch);
    most = std::max(most, scratch.used_bytes());
  };
  count([&](DeviceScratch& scratch) { count_attention(largest, scratch); });
  count([&](DeviceScratch& scratch) { count_sample(largest, scratch); });
  for (const LayerViews& layer : largest.layers) {
    const MatrixShape q(layer.w_q), k(layer.w_k), v(layer.w_v), o(layer.w_o);
    const MatrixShape gate(layer.w_gate), up(layer.w_up), down(layer.w_down);
    for (const MatrixShape& shape : {q, k, v, o, gate, up, down})
      count([&](DeviceScratch& scratch) { count_upload(shape, scratch); });
    const MatrixShape *const qkv[] = {&q, &k, &v}, *const out[] = {&o};
    count([&](DeviceScratch& scratch) { count_product(qkv, num_tokens, num_tokens, num_limbs_, scratch); });
    count([&](DeviceScratch& scratch) { count_product(out, num_tokens, num_tokens, num_limbs_, scratch); });
    count([&](DeviceScratch& scratch) {
      count_experts(gate, up, down, num_tokens, largest.experts_per_token, num_limbs_, scratch);
    });
    const MatrixShape table = CudaTable::shape_of(largest.vocab_size, q.d_in, num_limbs_);
    count([&](DeviceScratch& scratch) { count_table_upload(largest.vocab_size, q.d_in, scratch); });
    count([&](DeviceScratch& scratch) { count_logits(table, largest.num_outputs, num_limbs_, scratch); });
  }
  return most;
}

// The terms are the arrays of Batch.
std::size_t CudaFootprint::batch_bytes(const StepSize& largest) {
  const std::size_t max_pages = (std::size_t(largest.num_positions) + kPageSize - 1) / kPageSize;
  return (3 * std::size_t(largest.num_tokens) + std::size_t(largest.num_sequences) * max_pages +
          std::size_t(largest.num_outputs)) *
         sizeof(std::int32_t);
}

std::size_t CudaFootprint::rotation_bytes(int num_positions, int head_dim) {
  return std::size_t(num_positions) * std::size_t(head_dim) * sizeof(float);
}

}  // namespace grok::cuda
