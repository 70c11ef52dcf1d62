#pragma once

#include <vector>

#include "backend/backend.h"
#include "backend/cpu/footprint.h"
#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/layout/scratch.h"
#include "threads/thread_pool.h"

namespace grok::cpu {

// The operations as an executable specification. One file an operation, as in backend/cuda.
class CpuBackend final : public Backend {
 public:
  CpuBackend(const Kernels& kernels, int num_threads, WeightStorage weights)
      : kernels_(kernels), weights_(weights), footprint_(kernels, weights, num_threads), pool_(num_threads) {}

  std::string description() const override;
  BufferPtr allocate(std::size_t size_bytes) override;
  BufferPtr load_vector(const TensorView& f32) override;
  TablePtr load_table(const TensorView& f32) override;
  MatrixPtr load_matrix(const Linear& stored) override;
  const Footprint& footprint() const override { return footprint_; }
  void reserve_scratch(const StepSize& largest) override { scratch_.reserve(footprint_.operation_bytes(largest)); }
  Batch stage(const Batch& host) override { return host; }
  void read(std::span<float> host, const float* from) override;
  void read(std::span<std::int32_t> host, const std::int32_t* from) override;
  void read_kv(const ReadKv& op) override;

  void embed(const Embed& op) override;
  void norm(const Norm& op) override;
  void qkv(const Qkv& op) override;
  void attention(const Attention& op) override;
  void attention_out(const AttentionOut& op) override;
  void add_norm(const AddNorm& op) override;
  void route(const Route& op) override;
  void experts(const Experts& op) override;
  void logits(const Logits& op) override;
  void sample(const Sample& op) override;

 private:
  const Kernels kernels_;
  const WeightStorage weights_;
  const CpuFootprint footprint_;
  threads::ThreadPool pool_;
  Scratch scratch_;              // of the current operation
  std::vector<float> rotation_;  // [positions so far, head_dim / 2, 2]: cosine and sine
};

}  // namespace grok::cpu
