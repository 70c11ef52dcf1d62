#pragma once

#include "backend/backend.h"
#include "backend/cpu/isa/kernels.h"

namespace grok::cpu {

class CpuFootprint final : public Footprint {
 public:
  CpuFootprint(const Kernels& kernels, WeightStorage weights, int num_threads)
      : kernels_(kernels), weights_(weights), num_threads_(num_threads) {}

  std::uint64_t matrix_bytes(const Linear& stored) const override;
  std::uint64_t table_bytes(const TensorView& f32) const override;
  std::uint64_t product_bytes(const Linear& stored) const override;
  std::uint64_t head_bytes(const TensorView& f32) const override;
  std::uint64_t kv_page_bytes(KvCacheType type, int num_kv_heads, int head_dim) const override;
  std::uint64_t scratch_bytes(const StepSize& largest) const override;

  // The part of scratch_bytes that operations share, one after another.
  std::uint64_t operation_bytes(const StepSize& largest) const;

 private:
  const Kernels kernels_;
  const WeightStorage weights_;
  const int num_threads_;
};

}  // namespace grok::cpu
