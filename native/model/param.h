#pragma once

#include <vector>

#include "core/tensor.h"
#include "model/config.h"

namespace grok::model {

// The parameters of the network, under the names of the glossary.
enum class Param {
  embedding,  // of the model
  final_norm,
  w_q,  // of each layer, as are all that follow
  w_k,
  w_v,
  w_o,
  w_gate,
  w_up,
  w_down,
  router,
  pre_attn_norm,
  post_attn_norm,
  pre_moe_norm,
  post_moe_norm,
};
inline constexpr int kNumParams = 14;

constexpr bool is_of_layer(Param param) { return param >= Param::w_q; }
// Quantized, with scales. All other parameters are f32.
constexpr bool is_matrix(Param param) { return param >= Param::w_q && param <= Param::w_down; }

// One parameter of the network.
struct ParamId {
  Param param;
  int layer = -1;  // -1: the parameter belongs to the model

  bool operator==(const ParamId&) const = default;
};

// The place of a parameter among those of a network, from 0 to below num_places.
constexpr std::size_t place_of(ParamId id) { return std::size_t(id.layer + 1) * kNumParams + std::size_t(id.param); }
constexpr std::size_t num_places(int num_layers) { return std::size_t(num_layers + 1) * kNumParams; }

// Every parameter of a network, layer by layer.
std::vector<ParamId> all_params(int num_layers);

Shape shape_of(Param param, const GrokConfig& config);

}  // namespace grok::model
