#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "backend/backend.h"
#include "format/tensor_source.h"
#include "model/config.h"

namespace grok::model {

struct LayerWeights {
  MatrixPtr w_q, w_k, w_v, w_o;                                          // attention
  MatrixPtr w_gate, w_up, w_down;                                        // experts
  BufferPtr router;                                                      // f32 [d_model, num_experts]
  BufferPtr pre_attn_norm, post_attn_norm, pre_moe_norm, post_moe_norm;  // f32 [d_model]
};

struct Weights {
  explicit Weights(int num_layers) : layers(std::size_t(num_layers)) {}

  TablePtr embedding;    // [vocab_size, d_model], also the head
  BufferPtr final_norm;  // f32 [d_model]
  std::vector<LayerWeights> layers;
};

// Names of all parameters in the order of xAI's files: the leaves of the parameter tree, module paths sorted AS STRINGS
// (so layer 10 comes before layer 2). Source: checkpoint.py (tree_flatten sorts dict keys)
std::vector<std::string> parameter_names(int num_layers);

// The place of a weight in Weights.
using WeightPlace =
    std::variant<TablePtr Weights::*, BufferPtr Weights::*, BufferPtr LayerWeights::*, MatrixPtr LayerWeights::*>;

// A weight of the network and its parameter in a checkpoint, whose shape and dtype are checked.
struct BoundWeight {
  const format::StoredParameter* stored = nullptr;
  WeightPlace place = {};
  int layer = -1;  // -1: outside the layers

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

// Binds every parameter of the source to its place by name. Everything is checked before anything is read. One
// bad_checkpoint error lists all missing, unexpected and misshapen parameters by file, with expected and found shapes.
// `source` must outlive the result.
BoundNetwork bind_weights(const GrokConfig& config, const format::TensorSource& source);

// Sizes of the model, computed from the shapes in a checkpoint.
struct DerivedSizes {
  int num_layers = 0, vocab_size = 0, d_model = 0, d_ff = 0, num_experts = 0;
  int q_width = 0, kv_width = 0;  // num_heads * head_dim
};

// Throws bad_checkpoint if the necessary parameters are missing or do not belong to a Grok-1 network.
DerivedSizes derive_sizes(const format::TensorSource& source);

}  // namespace grok::model
