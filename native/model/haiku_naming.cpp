#include "model/haiku_naming.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "core/error.h"

namespace grok::model {
namespace {

constexpr std::string_view kLayerPrefix = "transformer/decoder_layer_";
constexpr int kMostLayers = 1'000'000;

struct Entry {
  Param param;
  std::string_view name;  // of a layer's parameter: behind the layer's own path
};

// Source: xai-org/grok-1 model.py:DecoderLayer, MHABlock, DenseBlock, Router (the names that Haiku gives their modules)
constexpr Entry kEntries[] = {
    {Param::embedding, "language_model/in_out_embed/embeddings"},
    {Param::final_norm, "language_model/rms_norm/scale"},
    {Param::w_q, "multi_head_attention/query/w"},
    {Param::w_k, "multi_head_attention/key/w"},
    {Param::w_v, "multi_head_attention/value/w"},
    {Param::w_o, "multi_head_attention/linear/w"},
    {Param::w_gate, "moe/linear/w"},
    {Param::w_up, "moe/linear_v/w"},
    {Param::w_down, "moe/linear_1/w"},
    {Param::router, "router/w"},
    {Param::pre_attn_norm, "rms_norm/scale"},
    {Param::post_attn_norm, "rms_norm_1/scale"},
    {Param::pre_moe_norm, "rms_norm_2/scale"},
    {Param::post_moe_norm, "rms_norm_3/scale"},
};
static_assert(std::size(kEntries) == kNumParams);

class HaikuNaming final : public Naming {
 public:
  std::string name_of(ParamId id) const override {
    const auto* const entry =
        std::find_if(std::begin(kEntries), std::end(kEntries), [&](const Entry& e) { return e.param == id.param; });
    return is_of_layer(id.param) ? concat(kLayerPrefix, id.layer, "/", entry->name) : std::string(entry->name);
  }

  std::optional<ParamId> id_of(std::string_view name) const override {
    std::string_view rest = name;
    int layer = -1;
    if (name.starts_with(kLayerPrefix)) {
      const char* const digits = name.data() + kLayerPrefix.size();
      const char* const end = std::from_chars(digits, name.data() + name.size(), layer).ptr;
      if (layer >= kMostLayers) return std::nullopt;
      rest.remove_prefix(std::size_t(end - name.data()));
      if (rest.starts_with('/')) rest.remove_prefix(1);
    }
    for (const Entry& entry : kEntries)
      if (entry.name == rest && is_of_layer(entry.param) == (layer >= 0) && name_of({entry.param, layer}) == name)
        return ParamId{entry.param, layer};
    return std::nullopt;
  }
};

}  // namespace

const Naming& haiku_naming() {
  static const HaikuNaming naming;
  return naming;
}

std::vector<std::string> haiku_names(int num_layers) {
  std::vector<std::string> names;
  for (const ParamId id : all_params(num_layers)) names.push_back(haiku_naming().name_of(id));
  // A module has one parameter, and '/' sorts before the characters that continue a module's name ('_', digits). So
  // sorting whole names also sorts module paths.
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace grok::model
