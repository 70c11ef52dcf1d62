#include "model/weights.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "core/printable.h"
#include "core/problem_list.h"
#include "model/finite_source.h"

namespace grok::model {
namespace {

constexpr const char* kEmbedding = "language_model/in_out_embed/embeddings";
constexpr const char* kFinalNorm = "language_model/rms_norm/scale";
constexpr std::string_view kLayerPrefix = "transformer/decoder_layer_";

// Source: xai-org/grok-1 model.py:DecoderLayer, MHABlock, DenseBlock, Router (the names that Haiku gives their modules)
constexpr const char* kGate = "moe/linear/w";
constexpr const char* kUp = "moe/linear_v/w";
constexpr const char* kDown = "moe/linear_1/w";
constexpr const char* kQuery = "multi_head_attention/query/w";
constexpr const char* kKey = "multi_head_attention/key/w";
constexpr const char* kValue = "multi_head_attention/value/w";
constexpr const char* kAttentionOut = "multi_head_attention/linear/w";
constexpr const char* kPreAttnNorm = "rms_norm/scale";
constexpr const char* kPostAttnNorm = "rms_norm_1/scale";
constexpr const char* kPreMoeNorm = "rms_norm_2/scale";
constexpr const char* kPostMoeNorm = "rms_norm_3/scale";
constexpr const char* kRouter = "router/w";

std::string layer_name(int layer, const char* parameter) { return concat(kLayerPrefix, layer, "/", parameter); }

// ---------------------------------------------------------------- binding

QuantizedView view_of(const format::StoredParameter& stored) { return {stored.weight, *stored.scales}; }

// The parameter that a network needs for one of its weights.
struct Expected {
  Shape shape;
  WeightPlace place;
  QuantizedView LayerViews::*view = nullptr;  // of a matrix
  int layer = -1;

  bool is_quantized() const { return view != nullptr; }
};

class ExpectedParameters {
 public:
  explicit ExpectedParameters(const GrokConfig& config) {
    const auto vocab_size = std::uint64_t(config.vocab_size);
    const auto d_model = std::uint64_t(config.d_model);
    const auto d_ff = std::uint64_t(config.d_ff);
    const auto num_experts = std::uint64_t(config.num_experts);
    const std::uint64_t q_width = checked_mul(std::uint64_t(config.num_q_heads), std::uint64_t(config.head_dim));
    const std::uint64_t kv_width = checked_mul(std::uint64_t(config.num_kv_heads), std::uint64_t(config.head_dim));

    by_name_[kEmbedding] = {.shape = {vocab_size, d_model}, .place = &Weights::embedding};
    by_name_[kFinalNorm] = {.shape = {d_model}, .place = &Weights::final_norm};
    for (int layer = 0; layer < config.num_layers; ++layer) {
      matrix(layer, kGate, {num_experts, d_model, d_ff}, &LayerWeights::w_gate, &LayerViews::w_gate);
      matrix(layer, kUp, {num_experts, d_model, d_ff}, &LayerWeights::w_up, &LayerViews::w_up);
      matrix(layer, kDown, {num_experts, d_ff, d_model}, &LayerWeights::w_down, &LayerViews::w_down);
      matrix(layer, kQuery, {d_model, q_width}, &LayerWeights::w_q, &LayerViews::w_q);
      matrix(layer, kKey, {d_model, kv_width}, &LayerWeights::w_k, &LayerViews::w_k);
      matrix(layer, kValue, {d_model, kv_width}, &LayerWeights::w_v, &LayerViews::w_v);
      matrix(layer, kAttentionOut, {q_width, d_model}, &LayerWeights::w_o, &LayerViews::w_o);
      vector(layer, kPreAttnNorm, {d_model}, &LayerWeights::pre_attn_norm);
      vector(layer, kPostAttnNorm, {d_model}, &LayerWeights::post_attn_norm);
      vector(layer, kPreMoeNorm, {d_model}, &LayerWeights::pre_moe_norm);
      vector(layer, kPostMoeNorm, {d_model}, &LayerWeights::post_moe_norm);
      vector(layer, kRouter, {d_model, num_experts}, &LayerWeights::router);
    }
  }

  // Each parameter can be taken once.
  std::optional<Expected> take(const std::string& name) {
    auto entry = by_name_.extract(name);
    if (entry.empty()) return std::nullopt;
    return std::move(entry.mapped());
  }

  std::vector<std::string> names_left() const {
    std::vector<std::string> names;
    for (const auto& [name, expected] : by_name_) names.push_back(name);
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  void vector(int layer, const char* parameter, Shape shape, BufferPtr LayerWeights::*place) {
    by_name_[layer_name(layer, parameter)] = {.shape = std::move(shape), .place = place, .layer = layer};
  }

  void matrix(int layer, const char* parameter, Shape shape, MatrixPtr LayerWeights::*place,
              QuantizedView LayerViews::*view) {
    by_name_[layer_name(layer, parameter)] = {.shape = std::move(shape), .place = place, .view = view, .layer = layer};
  }

  std::unordered_map<std::string, Expected> by_name_;
};

std::string describe(const TensorView& tensor) { return concat(name_of(tensor.dtype), " ", to_string(tensor.shape)); }

// Scales are [.., num_groups, d_out] for a weight [.., d_in, d_out], with any number of groups that divides d_in.
bool scales_fit(const TensorView& scales, const Shape& weight_shape) {
  const std::size_t rank = weight_shape.size();
  if (scales.dtype != DType::bf16 || scales.shape.size() != rank) return false;
  for (std::size_t axis = 0; axis < rank; ++axis)
    if (axis != rank - 2 && scales.shape[axis] != weight_shape[axis]) return false;
  const std::uint64_t num_groups = scales.shape[rank - 2];
  return num_groups > 0 && weight_shape[rank - 2] % num_groups == 0;
}

void check(const format::StoredParameter& stored, const Expected& expected, ProblemList& problems) {
  const std::string where = stored.file + ": " + stored.name + ": ";
  const TensorView weight{.dtype = expected.is_quantized() ? DType::i8 : DType::f32, .shape = expected.shape};
  if (stored.weight.dtype != weight.dtype || stored.weight.shape != weight.shape)
    problems.add(where + "expected " + describe(weight) + ", found " + describe(stored.weight));
  if (!expected.is_quantized()) {
    if (stored.scales) problems.add(where + "expected no scales, found " + describe(*stored.scales));
    return;
  }
  if (!stored.scales) {
    problems.add(where + "expected scales, found none");
  } else if (!scales_fit(*stored.scales, expected.shape)) {
    Shape one_group = expected.shape;
    one_group[one_group.size() - 2] = 1;
    problems.add(where + "expected scales bf16 " + to_string(one_group) + ", or with more groups along axis " +
                 concat(one_group.size() - 2, " that divide ", expected.shape[expected.shape.size() - 2]) + ", found " +
                 describe(*stored.scales));
  }
}

// ---------------------------------------------------------------- what shapes say

const Shape& shape_of(const format::TensorSource& source, const std::string& name, std::size_t rank) {
  const format::StoredParameter* parameter = source.find(name);
  if (!parameter)
    throw Error(ErrorCode::bad_checkpoint, "expected the parameter " + name + ", found none of that name",
                "The parameters of a Grok-1 checkpoint are listed in docs/CHECKPOINT.md.");
  if (parameter->weight.shape.size() != rank)
    throw Error(ErrorCode::bad_checkpoint,
                concat(parameter->file, ": ", name, ": expected ", rank, " axes, found ", describe(parameter->weight)));
  return parameter->weight.shape;
}

int as_size(const std::string& name, std::uint64_t size) {
  constexpr std::uint64_t kMax = 1 << 30;
  if (size > kMax)
    throw Error(ErrorCode::bad_checkpoint, concat(name, ": expected axes of at most ", kMax, ", found ", size));
  return int(size);
}

// Returns one more than the highest layer that any parameter names.
int count_layers(const format::TensorSource& source) {
  int num_layers = 0;
  for (const format::StoredParameter& parameter : source.parameters()) {
    if (!parameter.name.starts_with(kLayerPrefix)) continue;
    constexpr std::size_t kMaxDigits = 6;
    int layer = 0;
    std::size_t num_digits = 0;
    for (const char character : std::string_view(parameter.name).substr(kLayerPrefix.size(), kMaxDigits)) {
      if (character < '0' || character > '9') break;
      layer = layer * 10 + (character - '0');
      ++num_digits;
    }
    if (num_digits > 0) num_layers = std::max(num_layers, layer + 1);
  }
  return num_layers;
}

}  // namespace

std::vector<std::string> parameter_names(int num_layers) {
  std::vector<std::string> names = {kEmbedding, kFinalNorm};
  for (int layer = 0; layer < num_layers; ++layer)
    for (const char* parameter : {kGate, kUp, kDown, kQuery, kKey, kValue, kAttentionOut, kPreAttnNorm, kPostAttnNorm,
                                  kPreMoeNorm, kPostMoeNorm, kRouter})
      names.push_back(layer_name(layer, parameter));
  // A module has one parameter, and '/' sorts before the characters that continue a module's name ('_', digits). So
  // sorting whole names also sorts module paths.
  std::sort(names.begin(), names.end());
  return names;
}

BoundNetwork bind_weights(const GrokConfig& config, const format::TensorSource& source) {
  ExpectedParameters parameters(config);
  ProblemList problems;
  BoundNetwork network;
  network.layers.resize(std::size_t(config.num_layers));
  for (const format::StoredParameter& stored : source.parameters()) {
    const std::optional<Expected> expected = parameters.take(stored.name);
    if (!expected) {
      problems.add(stored.file + ": " + printable(stored.name) + " is not a parameter of this network");
      continue;
    }
    check(stored, *expected, problems);
    network.weights.push_back({.stored = &stored, .place = expected->place, .layer = expected->layer});
    if (expected->is_quantized() && stored.scales)
      network.layers[std::size_t(expected->layer)].*expected->view = view_of(stored);
  }
  for (const std::string& name : parameters.names_left()) problems.add(name + ": missing");
  problems.throw_if_any("the checkpoint, " + source.description() + ", does not fit the network:");
  return network;
}

std::uint64_t BoundWeight::stored_bytes() const {
  return checked_add(stored->weight.size_bytes(), stored->scales ? stored->scales->size_bytes() : 0);
}

std::uint64_t BoundWeight::resident_bytes(const Footprint& footprint) const {
  if (std::holds_alternative<MatrixPtr LayerWeights::*>(place)) return footprint.matrix_bytes(view_of(*stored));
  if (std::holds_alternative<TablePtr Weights::*>(place)) return footprint.table_bytes(stored->weight);
  return stored->weight.size_bytes();
}

std::uint64_t BoundWeight::step_bytes(const Footprint& footprint) const {
  if (std::holds_alternative<MatrixPtr LayerWeights::*>(place)) return footprint.product_bytes(view_of(*stored));
  if (std::holds_alternative<TablePtr Weights::*>(place)) return footprint.head_bytes(stored->weight);
  return stored->weight.size_bytes();
}

void BoundWeight::load(Backend& backend, Weights& weights) const {
  const std::string name = concat(stored->file, ": ", stored->name);
  if (const auto* const matrix = std::get_if<MatrixPtr LayerWeights::*>(&place)) {
    const FiniteSource scales(*stored->scales, name, "scales");
    weights.layers[std::size_t(layer)].** matrix = backend.load_matrix({stored->weight, scales.view()});
  } else {
    const FiniteSource values(stored->weight, name, "values");
    if (const auto* const table = std::get_if<TablePtr Weights::*>(&place))
      weights.** table = backend.load_table(values.view());
    else if (const auto* const vector = std::get_if<BufferPtr Weights::*>(&place))
      weights.** vector = backend.load_vector(values.view());
    else
      weights.layers[std::size_t(layer)].*std::get<BufferPtr LayerWeights::*>(place) =
          backend.load_vector(values.view());
  }
  // The backend has copied everything that it needs.
  stored->weight.drop();
  if (stored->scales) stored->scales->drop();
}

DerivedSizes derive_sizes(const format::TensorSource& source) {
  const std::string gate = layer_name(0, kGate), query = layer_name(0, kQuery), key = layer_name(0, kKey);
  const Shape& embedding_shape = shape_of(source, kEmbedding, 2);
  const Shape& gate_shape = shape_of(source, gate, 3);
  const Shape& query_shape = shape_of(source, query, 2);
  const Shape& key_shape = shape_of(source, key, 2);
  return {.num_layers = count_layers(source),
          .vocab_size = as_size(kEmbedding, embedding_shape[0]),
          .d_model = as_size(kEmbedding, embedding_shape[1]),
          .d_ff = as_size(gate, gate_shape[2]),
          .num_experts = as_size(gate, gate_shape[0]),
          .q_width = as_size(query, query_shape[1]),
          .kv_width = as_size(key, key_shape[1])};
}

}  // namespace grok::model
