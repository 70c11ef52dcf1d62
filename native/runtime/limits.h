#pragma once

#include "backend/backend.h"
#include "model/config.h"
#include "runtime/options.h"

namespace grok::runtime {

// The engine's options for one model, with every 0 replaced by its default.
struct Limits {
  int context_length = 0;
  int max_sequences = 0;
  int prefill_chunk = 0;
  KvCacheType kv_cache_type = KvCacheType::f32;
  WeightStorage weight_storage = WeightStorage::packed;
  int max_tokens = 0;   // per step: a prompt chunk, and a token for each sequence that decodes
  int max_outputs = 0;  // rows of logits per step
};

// Adds max_tokens and max_outputs, computed from the others.
Limits with_step_size(Limits limits, const model::GrokConfig& config);

// Throws invalid_argument with the option's name, and the expected and found values.
Limits limits_for(const model::GrokConfig& config, const EngineOptions& options);

}  // namespace grok::runtime
