#pragma once

#include <cstdint>
#include <vector>

#include "backend/backend.h"
#include "format/tensor_source.h"
#include "model/config.h"
#include "model/naming.h"

namespace grok::model {

// The weights of a network in a backend's memory.
class Weights {
 public:
  explicit Weights(int num_layers) : matrices_(num_places(num_layers)), vectors_(num_places(num_layers)) {}

  TablePtr embedding;  // [vocab_size, d_model], also the head

  MatrixPtr& matrix(ParamId id) { return matrices_[place_of(id)]; }
  BufferPtr& vector(ParamId id) { return vectors_[place_of(id)]; }
  const Matrix* matrix(Param param, int layer) const { return matrices_[place_of({param, layer})].get(); }
  const float* vector(Param param, int layer = -1) const { return vectors_[place_of({param, layer})]->as<float>(); }

 private:
  std::vector<MatrixPtr> matrices_;  // [num_places]
  std::vector<BufferPtr> vectors_;   // [num_places], f32
};

// A weight of the network and its parameter in a checkpoint, whose shape and dtype are checked.
struct BoundWeight {
  const format::StoredParameter* stored = nullptr;
  ParamId id = {};

  std::uint64_t stored_bytes() const;                              // in the file
  std::uint64_t resident_bytes(const Footprint& footprint) const;  // once loaded
  // bytes that a step of one output reads if it uses every expert
  std::uint64_t step_bytes(const Footprint& footprint) const;
  void load(Backend& backend, Weights& weights) const;  // reads and converts it
};

// A network with all of its weights bound, for any device.
struct BoundNetwork {
  std::vector<BoundWeight> weights;  // in the order of the source
  std::vector<LayerViews> layers;    // [num_layers], the matrices as stored
};

// Binds every parameter of the source by its name. Everything is checked before anything is read. One
// bad_checkpoint error lists all missing, unexpected and misshapen parameters by file, with expected and found shapes.
// `source` must outlive the result.
BoundNetwork bind_weights(const GrokConfig& config, const format::TensorSource& source, const Naming& naming);

// Sizes of the model, computed from the shapes in a checkpoint.
struct DerivedSizes {
  int num_layers = 0, vocab_size = 0, d_model = 0, d_ff = 0, num_experts = 0;
  int q_width = 0, kv_width = 0;  // num_heads * head_dim
};

// Throws bad_checkpoint if the necessary parameters are missing or do not belong to a Grok-1 network.
DerivedSizes derive_sizes(const format::TensorSource& source, const Naming& naming);

}  // namespace grok::model
