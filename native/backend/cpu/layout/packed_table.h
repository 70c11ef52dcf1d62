#pragma once

#include "backend/cpu/layout/packed_matrix.h"

namespace grok::cpu {

// The token embedding, and the head that is tied to it, as 24-bit integers with a scale for each token. Their three
// signed bytes are three matrices. The head multiplies by the upper two (or by all), which is half of what float32
// would read. A row of the embedding is assembled from all three.
class PackedTable final : public Table {
 public:
  static constexpr int kNumLimbs = 3;

  PackedTable(const TensorView& f32, threads::ThreadPool& pool);  // f32 [vocab_size, d_model]
  static std::uint64_t size_bytes(const TensorView& f32);

  // [kNumLimbs, d_model, vocab_size], most significant first. The sum of the limbs' products, each with its scales,
  // is the product.
  const PackedMatrix& limbs() const { return limbs_; }
  int vocab_size() const { return limbs_.d_out; }
  int d_model() const { return limbs_.d_in; }

  // out[i] = the row's value, with an error of at most 2^-24 of the row's largest.
  void row(int token, float* out) const;

 private:
  PackedMatrix limbs_;
};

}  // namespace grok::cpu
