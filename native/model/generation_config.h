#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace grok::model {

// Defaults of generation for one model. A field without a value means grok-run's own default.
struct GenerationConfig {
  std::map<std::string, double> sampling;  // by the names of backend/sampling_options.inc
  std::optional<std::int32_t> max_tokens;  // 0 or more
  std::vector<std::int32_t> eos_ids;       // empty: those of the config
};

// Reads a generation_config.json with Hugging Face's field names. max_new_tokens there is max_tokens here, and
// do_sample: false is temperature 0. Other fields and null are ignored. Throws not_found, io, bad_checkpoint.
GenerationConfig read_generation_config(const std::string& path, std::int32_t vocab_size);

}  // namespace grok::model
