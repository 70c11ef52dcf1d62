#include "model/read_config.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <map>

#include "core/error.h"
#include "core/json.h"
#include "core/problem_list.h"
#include "format/json_file.h"

namespace grok::model {
namespace {

constexpr std::size_t kMaxBytes = 1 << 20;  // a config is one page

struct IntField {
  int GrokConfig::*member;
  const char* ours;
  bool required;
};

struct RealField {
  double GrokConfig::*member;
  const char* ours;
  bool required;
};

constexpr IntField kIntFields[] = {
    {&GrokConfig::vocab_size, "vocab_size", true},   {&GrokConfig::context_length, "context_length", true},
    {&GrokConfig::d_model, "d_model", true},         {&GrokConfig::num_layers, "num_layers", true},
    {&GrokConfig::num_q_heads, "num_q_heads", true}, {&GrokConfig::num_kv_heads, "num_kv_heads", true},
    {&GrokConfig::head_dim, "head_dim", true},       {&GrokConfig::d_ff, "d_ff", false},  // or the widening factor
    {&GrokConfig::num_experts, "num_experts", true}, {&GrokConfig::experts_per_token, "experts_per_token", true},
    {&GrokConfig::pad_id, "pad_id", false},          {&GrokConfig::bos_id, "bos_id", false},
    {&GrokConfig::eos_id, "eos_id", false},
};

constexpr RealField kRealFields[] = {
    {&GrokConfig::embedding_scale, "embedding_scale", true},
    {&GrokConfig::logit_scale, "logit_scale", true},
    {&GrokConfig::attn_logit_scale, "attn_logit_scale", true},
    {&GrokConfig::attn_logit_cap, "attn_logit_cap", false},
    {&GrokConfig::rope_base, "rope_base", false},
    {&GrokConfig::norm_eps, "norm_eps", false},
};

// Other names of a field in files, with xAI's name first.
struct Alias {
  const char* theirs;
  const char* ours;
};

constexpr Alias kAliases[] = {
    {"vocab_size", "vocab_size"},
    {"sequence_len", "context_length"},
    {"max_position_embeddings", "context_length"},
    {"emb_size", "d_model"},
    {"hidden_size", "d_model"},
    {"num_layers", "num_layers"},
    {"num_hidden_layers", "num_layers"},
    {"num_q_heads", "num_q_heads"},
    {"num_attention_heads", "num_q_heads"},
    {"num_kv_heads", "num_kv_heads"},
    {"num_key_value_heads", "num_kv_heads"},
    {"key_size", "head_dim"},
    {"head_dim", "head_dim"},
    {"ffn_size", "d_ff"},
    {"intermediate_size", "d_ff"},
    {"widening_factor", "widening_factor"},
    {"num_experts", "num_experts"},
    {"num_local_experts", "num_experts"},
    {"num_selected_experts", "experts_per_token"},
    {"num_experts_per_tok", "experts_per_token"},
    {"embedding_multiplier_scale", "embedding_scale"},
    {"output_multiplier_scale", "logit_scale"},
    {"attn_output_multiplier", "attn_logit_scale"},
    {"attn_logit_cap", "attn_logit_cap"},
    {"max_attn_value", "attn_logit_cap"},
    {"rope_base", "rope_base"},
    {"rope_theta", "rope_base"},
    {"rms_norm_eps", "norm_eps"},
    {"pad_token", "pad_id"},
    {"pad_token_id", "pad_id"},
    {"bos_token", "bos_id"},
    {"bos_token_id", "bos_id"},
    {"eos_token", "eos_id"},
    {"eos_token_id", "eos_id"},
};

// "d_model (emb_size or hidden_size)"
std::string with_aliases(const std::string& ours) {
  std::string names;
  for (const Alias& alias : kAliases)
    if (ours == alias.ours) names += (names.empty() ? "" : " or ") + std::string(alias.theirs);
  return names == ours ? ours : ours + " (" + names + ")";
}

struct Found {
  double value = 0;
  std::string theirs;
};

class ConfigReader {
 public:
  explicit ConfigReader(const std::string& path)
      : path_(path), text_(format::read_json_file(path, kMaxBytes)), json_(text_, path) {}

  GrokConfig read() {
    read_fields(true);
    json_.finish();
    GrokConfig config;
    for (const IntField& field : kIntFields) {
      if (const Found* found = require(field.ours, field.required)) config.*field.member = as_int(*found);
    }
    for (const RealField& field : kRealFields) {
      if (const Found* found = require(field.ours, field.required)) config.*field.member = found->value;
    }
    set_d_ff(config);
    problems_.throw_if_any(path_ + " does not describe a network:",
                           "config.json takes xAI's field names or Hugging Face's; docs/CHECKPOINT.md lists both.");
    return config;
  }

 private:
  void read_fields(bool outermost) {
    json_.read_object([&](const std::string& key) {
      if (outermost && (key == "model" || key == "derived") && json_.kind() == JsonKind::object) {
        read_fields(false);
        return;
      }
      const auto* alias = std::find_if(std::begin(kAliases), std::end(kAliases),
                                       [&](const Alias& candidate) { return key == candidate.theirs; });
      if (alias == std::end(kAliases)) {
        json_.skip();
        return;
      }
      const double value = json_.read_number();
      const auto [place, is_new] = found_.try_emplace(alias->ours, Found{value, key});
      if (!is_new && place->second.value != value)
        problems_.add(concat(key, " is ", value, " and ", place->second.theirs, " is ", place->second.value));
    });
  }

  const Found* require(const char* ours, bool required) {
    const auto found = found_.find(ours);
    if (found != found_.end()) return &found->second;
    if (required) problems_.add(with_aliases(ours) + " is missing");
    return nullptr;
  }

  int as_int(const Found& found) {
    constexpr double kMax = std::numeric_limits<int>::max();
    if (found.value == std::floor(found.value) && std::abs(found.value) <= kMax) return int(found.value);
    problems_.add(concat(found.theirs, ": expected an integer, found ", found.value));
    return 0;
  }

  void set_d_ff(GrokConfig& config) {
    const auto factor = found_.find("widening_factor");
    const auto d_ff = found_.find("d_ff");
    if (factor == found_.end()) {
      if (d_ff == found_.end()) problems_.add("widening_factor, or " + with_aliases("d_ff") + ", is missing");
      return;
    }
    const double widened = factor->second.value * config.d_model;
    if (!(widened >= 1 && widened <= (1 << 30))) {
      problems_.add(concat("widening_factor: expected the width of a network, found ", factor->second.value));
      return;
    }
    const int derived = ffn_size(config.d_model, factor->second.value);
    if (d_ff != found_.end() && config.d_ff != derived)
      problems_.add(concat("widening_factor ", factor->second.value, " makes d_ff ", derived, " and ",
                           d_ff->second.theirs, " is ", config.d_ff));
    config.d_ff = derived;
  }

  std::string path_;
  std::string text_;
  JsonReader json_;
  std::map<std::string, Found> found_;  // by our name
  ProblemList problems_;
};

}  // namespace

int ffn_size(int emb_size, double widening_factor) {
  const auto size = std::int64_t(widening_factor * emb_size) * 2 / 3;
  return int((size + 7) / 8 * 8);
}

GrokConfig read_config(const std::string& path) { return ConfigReader(path).read(); }

}  // namespace grok::model
