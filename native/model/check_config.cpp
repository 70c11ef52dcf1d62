#include "model/check_config.h"

#include <cstdint>

#include "core/error.h"
#include "core/problem_list.h"

namespace grok::model {
namespace {

// Far above any Grok, and low enough that a product of two sizes fits 63 bits and a row offset fits an int.
constexpr int kMaxLayers = 1024;
constexpr int kMaxExperts = 1024;
constexpr int kMaxHeads = 1 << 12;
constexpr int kMaxHeadDim = 1 << 12;
constexpr int kMaxWidth = 1 << 20;
constexpr int kMaxVocab = 1 << 24;
constexpr int kMaxContext = 1 << 20;
// Kernels rely on exp(-2 cap) being a normal fp32 number, so that they need not search for the largest logit.
constexpr double kMaxCap = 40;

class Check {
 public:
  void range(const char* name, std::int64_t value, std::int64_t low, std::int64_t high) {
    if (value < low || value > high) problems.add(concat(name, ": expected ", low, " to ", high, ", found ", value));
  }
  void positive(const char* name, double value, double high) {
    if (!(value > 0 && value <= high))
      problems.add(concat(name, ": expected a number above 0 and up to ", high, ", found ", value));
  }
  void equal(const char* name, std::int64_t in_config, std::int64_t in_tensors) {
    if (in_config != in_tensors)
      problems.add(concat(name, ": the config says ", in_config, ", the tensors ", in_tensors));
  }

  ProblemList problems;
};

void ranges(const GrokConfig& config, Check& check) {
  check.range("vocab_size", config.vocab_size, 1, kMaxVocab);
  check.range("context_length", config.context_length, 1, kMaxContext);
  check.range("d_model", config.d_model, 1, kMaxWidth);
  check.range("num_layers", config.num_layers, 1, kMaxLayers);
  check.range("num_q_heads", config.num_q_heads, 1, kMaxHeads);
  check.range("num_kv_heads", config.num_kv_heads, 1, kMaxHeads);
  check.range("head_dim", config.head_dim, 2, kMaxHeadDim);
  check.range("d_ff", config.d_ff, 1, kMaxWidth);
  check.range("num_experts", config.num_experts, 1, kMaxExperts);
  check.range("experts_per_token", config.experts_per_token, 1, config.num_experts);
  check.range("pad_id", config.pad_id, 0, std::int64_t(config.vocab_size) - 1);
  check.range("bos_id", config.bos_id, 0, std::int64_t(config.vocab_size) - 1);
  check.range("eos_id", config.eos_id, 0, std::int64_t(config.vocab_size) - 1);
  check.positive("embedding_scale", config.embedding_scale, 1e6);
  check.positive("logit_scale", config.logit_scale, 1e6);
  check.positive("attn_logit_scale", config.attn_logit_scale, 1e6);
  check.positive("attn_logit_cap", config.attn_logit_cap, kMaxCap);
  check.positive("norm_eps", config.norm_eps, 1);
  check.positive("rope_base", config.rope_base, 1e9);

  if (config.head_dim % 2 != 0)
    check.problems.add(concat("head_dim: expected an even number (rotary halves), found ", config.head_dim));
  if (config.num_kv_heads > 0 && config.num_q_heads % config.num_kv_heads != 0)
    check.problems.add(concat("num_q_heads: expected a multiple of num_kv_heads, ", config.num_kv_heads, ", found ",
                              config.num_q_heads));
}

void shapes(const GrokConfig& config, const DerivedSizes& derived, Check& check) {
  check.equal("vocab_size", config.vocab_size, derived.vocab_size);
  check.equal("d_model", config.d_model, derived.d_model);
  check.equal("num_layers", config.num_layers, derived.num_layers);
  check.equal("d_ff", config.d_ff, derived.d_ff);
  check.equal("num_experts", config.num_experts, derived.num_experts);
  check.equal("num_q_heads * head_dim", std::int64_t(config.num_q_heads) * config.head_dim, derived.q_width);
  check.equal("num_kv_heads * head_dim", std::int64_t(config.num_kv_heads) * config.head_dim, derived.kv_width);
}

std::string config_hint(const std::string& config_from) {
  return config_from == "config.json"
             ? "Correct config.json, or take the one that belongs to these tensors."
             : "A checkpoint of another size than Grok-1's needs a config.json beside its tensors.";
}

}  // namespace

void check_ranges(const GrokConfig& config, const std::string& config_from) {
  Check check;
  ranges(config, check);
  check.problems.throw_if_any("the config, " + config_from + ", does not describe a valid network:",
                              config_hint(config_from));
}

void check_config(const GrokConfig& config, const DerivedSizes& derived, const std::string& config_from) {
  check_ranges(config, config_from);
  Check check;
  shapes(config, derived, check);
  check.problems.throw_if_any("the config, " + config_from + ", does not fit the checkpoint:",
                              config_hint(config_from));
}

}  // namespace grok::model
