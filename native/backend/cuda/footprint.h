#pragma once

#include <cstddef>

#include "backend/backend.h"
#include "backend/cuda/device_memory.h"
#include "backend/cuda/matrix_shape.h"

namespace grok::cuda {

// Tokens, or rows to sample, of one launch. Memory grows with them: 4 MB a token for Grok-1's experts. No result
// depends on this number.
inline constexpr int kTokensAtOnce = 64;

class CudaFootprint final : public Footprint {
 public:
  explicit CudaFootprint(int num_limbs) : num_limbs_(num_limbs) {}

  std::string memory_name() const override { return "GPU memory"; }
  bool can_map_weights() const override { return false; }
  std::uint64_t matrix_bytes(const Linear& stored) const override;
  std::uint64_t table_bytes(const TensorView& f32) const override;
  std::uint64_t kv_page_bytes(KvCacheType type, int num_kv_heads, int head_dim) const override;
  std::uint64_t quantized_bytes(const QuantizedShape& shape) const override;
  std::uint64_t scratch_bytes(const StepSize& largest) const override;
  std::uint64_t reserve_bytes() const override;

  // The terms of scratch_bytes.
  std::size_t operation_bytes(const StepSize& largest) const;  // shared by operations and uploads, one after another
  static std::size_t batch_bytes(const StepSize& largest);     // for stage()
  static std::size_t rotation_bytes(int num_positions, int head_dim);

 private:
  const int num_limbs_;
};

// Each function stands beside the code that it mirrors, and requests the same scratch without running anything.
void count_upload(const MatrixShape& shape, DeviceScratch& scratch);
void count_table_upload(int vocab_size, int d_model, DeviceScratch& scratch);
void count_attention(const StepSize& largest, DeviceScratch& scratch);
void count_experts(const MatrixShape& w_gate, const MatrixShape& w_up, const MatrixShape& w_down, int num_tokens,
                   int experts_per_token, int num_limbs, DeviceScratch& scratch);
void count_logits(const MatrixShape& table, int num_outputs, int num_limbs, DeviceScratch& scratch);
void count_sample(const StepSize& largest, DeviceScratch& scratch);

}  // namespace grok::cuda
