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

// A weight of the network and the parameter that a checkpoint has for it, whose shape and dtype are checked.
struct BoundWeight {
  const format::StoredParameter* stored = nullptr;
  WeightPlace place = {};
  int layer = -1;  // -1: it is of no layer

  std::uint64_t stored_bytes() const;                              // in the file
  std::uint64_t resident_bytes(const Footprint& footprint) const;  // once loaded
  std::uint64_t step_bytes(const Footprint& footprint) const;  // read by a step of one output that uses every expert
  void load(Backend& backend, Weights& weights) const;         // reads, converts, keeps
};

// A network whose every weight is bound, whatever the device.
struct BoundNetwork {
  std::vector<BoundWeight> weights;  // in the order of the source
  std::vector<LayerViews> layers;    // [num_layers], the matrices as they are stored
};

// Binds every parameter of the source to its place by name. Everything is checked before anything is read: one
// bad_checkpoint error lists all missing, unexpected and misshapen parameters, file by file, expected and found.
// `source` must outlive the result.
BoundNetwork bind_weights(const GrokConfig& config, const format::TensorSource& source);

// What the shapes in a checkpoint say about the model.
struct DerivedSizes {
  int num_layers = 0, vocab_size = 0, d_model = 0, d_ff = 0, num_experts = 0;
  int q_width = 0, kv_width = 0;  // num_heads * head_dim
};

// Throws bad_checkpoint when the parameters that say it are missing or are not of a Grok-1 network.
DerivedSizes derive_sizes(const format::TensorSource& source);

}  // namespace grok::model
