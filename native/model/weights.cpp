#include "model/weights.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/printable.h"
#include "core/problem_list.h"
#include "model/finite_source.h"

namespace grok::model {
namespace {

// ---------------------------------------------------------------- binding

Linear view_of(const format::StoredParameter& stored) { return {stored.weight, *stored.scales}; }

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

void check(const format::StoredParameter& stored, Param param, const GrokConfig& config, ProblemList& problems) {
  const std::string where = stored.file + ": " + stored.name + ": ";
  const TensorView weight{.dtype = is_matrix(param) ? DType::i8 : DType::f32, .shape = shape_of(param, config)};
  if (stored.weight.dtype != weight.dtype || stored.weight.shape != weight.shape)
    problems.add(where + "expected " + describe(weight) + ", found " + describe(stored.weight));
  if (!is_matrix(param)) {
    if (stored.scales) problems.add(where + "expected no scales, found " + describe(*stored.scales));
    return;
  }
  if (!stored.scales) {
    problems.add(where + "expected scales, found none");
  } else if (!scales_fit(*stored.scales, weight.shape)) {
    Shape one_group = weight.shape;
    one_group[one_group.size() - 2] = 1;
    problems.add(where + "expected scales bf16 " + to_string(one_group) + ", or with more groups along axis " +
                 concat(one_group.size() - 2, " that divide ", weight.shape[weight.shape.size() - 2]) + ", found " +
                 describe(*stored.scales));
  }
}

// ---------------------------------------------------------------- what shapes say

const Shape& shape_in(const format::TensorSource& source, const std::string& name, std::size_t rank) {
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
int count_layers(const format::TensorSource& source, const Naming& naming) {
  int num_layers = 0;
  for (const format::StoredParameter& parameter : source.parameters())
    if (const std::optional<ParamId> id = naming.id_of(parameter.name))
      num_layers = std::max(num_layers, id->layer + 1);
  return num_layers;
}

}  // namespace

BoundNetwork bind_weights(const GrokConfig& config, const format::TensorSource& source, const Naming& naming) {
  ProblemList problems;
  BoundNetwork network;
  std::vector<const format::StoredParameter*> found(num_places(config.num_layers));
  for (const format::StoredParameter& stored : source.parameters()) {
    const std::optional<ParamId> id = naming.id_of(stored.name);
    if (!id || id->layer >= config.num_layers || found[place_of(*id)]) {
      problems.add(stored.file + ": " + printable(stored.name) + " is not a parameter of this network");
      continue;
    }
    check(stored, id->param, config, problems);
    network.weights.push_back({.stored = &stored, .id = *id});
    found[place_of(*id)] = &stored;
  }
  std::vector<std::string> missing;
  for (const ParamId id : all_params(config.num_layers))
    if (!found[place_of(id)]) missing.push_back(naming.name_of(id));
  std::sort(missing.begin(), missing.end());
  for (const std::string& name : missing) problems.add(name + ": missing");
  problems.throw_if_any("the checkpoint, " + source.description() + ", does not fit the network:");

  for (int layer = 0; layer < config.num_layers; ++layer) {
    const auto view = [&](Param param) { return view_of(*found[place_of({param, layer})]); };
    network.layers.push_back({.w_q = view(Param::w_q),
                              .w_k = view(Param::w_k),
                              .w_v = view(Param::w_v),
                              .w_o = view(Param::w_o),
                              .w_gate = view(Param::w_gate),
                              .w_up = view(Param::w_up),
                              .w_down = view(Param::w_down)});
  }
  return network;
}

std::uint64_t BoundWeight::stored_bytes() const {
  return checked_add(stored->weight.size_bytes(), stored->scales ? stored->scales->size_bytes() : 0);
}

std::uint64_t BoundWeight::resident_bytes(const Footprint& footprint) const {
  if (is_matrix(id.param)) return footprint.matrix_bytes(view_of(*stored));
  if (id.param == Param::embedding) return footprint.table_bytes(stored->weight);
  return stored->weight.size_bytes();
}

std::uint64_t BoundWeight::step_bytes(const Footprint& footprint) const {
  if (is_matrix(id.param)) return footprint.product_bytes(view_of(*stored));
  if (id.param == Param::embedding) return footprint.head_bytes(stored->weight);
  return stored->weight.size_bytes();
}

void BoundWeight::load(Backend& backend, Weights& weights) const {
  const std::string name = concat(stored->file, ": ", stored->name);
  if (is_matrix(id.param)) {
    const FiniteSource scales(*stored->scales, name, "scales");
    weights.matrix(id) = backend.load_matrix({stored->weight, scales.view()});
  } else {
    const FiniteSource values(stored->weight, name, "values");
    if (id.param == Param::embedding)
      weights.embedding = backend.load_table(values.view());
    else
      weights.vector(id) = backend.load_vector(values.view());
  }
  // The backend has copied everything that it needs.
  stored->weight.drop();
  if (stored->scales) stored->scales->drop();
}

DerivedSizes derive_sizes(const format::TensorSource& source, const Naming& naming) {
  const std::string embedding = naming.name_of({Param::embedding}), gate = naming.name_of({Param::w_gate, 0});
  const std::string query = naming.name_of({Param::w_q, 0}), key = naming.name_of({Param::w_k, 0});
  const Shape& embedding_shape = shape_in(source, embedding, 2);
  const Shape& gate_shape = shape_in(source, gate, 3);
  const Shape& query_shape = shape_in(source, query, 2);
  const Shape& key_shape = shape_in(source, key, 2);
  return {.num_layers = count_layers(source, naming),
          .vocab_size = as_size(embedding, embedding_shape[0]),
          .d_model = as_size(embedding, embedding_shape[1]),
          .d_ff = as_size(gate, gate_shape[2]),
          .num_experts = as_size(gate, gate_shape[0]),
          .q_width = as_size(query, query_shape[1]),
          .kv_width = as_size(key, key_shape[1])};
}

}  // namespace grok::model
