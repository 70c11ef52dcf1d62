#pragma once

#include "backend/cpu/layout/packed_matrix.h"

namespace grok::cpu {

// The token embedding, and the head that is tied to it, as whole numbers of 24 bits with a scale for each token. Their
// three signed bytes are three matrices: the head multiplies by the upper two (or by all), which is half of what float32
// would have to read; a row of the embedding is put together from all three.
class PackedTable final : public Table {
 public:
  static constexpr int kNumPlanes = 3;

  PackedTable(const TensorView& f32, threads::ThreadPool& pool);  // f32 [vocab_size, d_model]
  static std::uint64_t size_bytes(const TensorView& f32);

  // [kNumPlanes, d_model, vocab_size], most significant first; the planes' products with their scales add up.
  const PackedMatrix& planes() const { return planes_; }
  int vocab_size() const { return planes_.d_out; }
  int d_model() const { return planes_.d_in; }

  // out[i] = the row's value, off by at most 2^-24 of the row's largest.
  void row(int token, float* out) const;

 private:
  PackedMatrix planes_;
};

}  // namespace grok::cpu
