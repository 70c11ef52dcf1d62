#include "runtime/limits.h"

#include <algorithm>

#include "core/error.h"

namespace grok::runtime {
namespace {

constexpr int kDefaultSequences = 4;
constexpr int kMostSequences = 1024;
constexpr int kDefaultPrefillChunk = 512;  // enough rows to use each weight many times per read
constexpr int kMostPrefillChunk = 1 << 16;

// Grok-1's logits take half a megabyte a row. A prompt chunk shrinks if the logits of all of its rows would exceed
// this.
constexpr std::uint64_t kMostLogitsBytes = 32 << 20;

int option(const char* name, int value, int most, int standard) {
  if (value < 0 || value > most)
    throw Error(ErrorCode::invalid_argument, concat("expected ", name, " to be at most ", most, ", found ", value));
  return value ? value : standard;
}

KvCacheType kv_cache_type_of(const std::string& name) {
  for (const KvCacheType type : {KvCacheType::f32, KvCacheType::bf16, KvCacheType::int8})
    if (name == name_of(type)) return type;
  throw Error(ErrorCode::invalid_argument,
              concat("expected kv_cache_type to be \"f32\", \"bf16\" or \"int8\", found \"", name, "\""));
}

WeightStorage weight_storage_of(const std::string& name) {
  for (const WeightStorage storage : {WeightStorage::packed, WeightStorage::mapped})
    if (name == name_of(storage)) return storage;
  throw Error(ErrorCode::invalid_argument,
              concat("expected weights to be \"packed\" or \"mapped\", found \"", name, "\""));
}

}  // namespace

Limits limits_for(const model::GrokConfig& config, const EngineOptions& options) {
  if (options.num_threads < 0)
    throw Error(ErrorCode::invalid_argument,
                concat("expected num_threads to be positive, or 0 for the default; found ", options.num_threads));
  Limits limits;
  limits.context_length =
      option("context_length", options.context_length, config.context_length, config.context_length);
  limits.max_sequences = option("max_sequences", options.max_sequences, kMostSequences, kDefaultSequences);
  limits.prefill_chunk = option("prefill_chunk", options.prefill_chunk, kMostPrefillChunk, kDefaultPrefillChunk);
  limits.kv_cache_type = kv_cache_type_of(options.kv_cache_type);
  limits.weight_storage = weight_storage_of(options.weights);
  return with_step_size(limits, config);
}

Limits with_step_size(Limits limits, const model::GrokConfig& config) {
  limits.max_tokens = limits.prefill_chunk + limits.max_sequences;
  const std::uint64_t row_bytes = std::uint64_t(config.vocab_size) * sizeof(float);
  const auto affordable = int(std::min<std::uint64_t>(kMostLogitsBytes / row_bytes, std::uint64_t(limits.max_tokens)));
  limits.max_outputs = std::max(affordable, limits.max_sequences);  // each may draw a token
  return limits;
}

}  // namespace grok::runtime
