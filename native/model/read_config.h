#pragma once

#include <string>

#include "model/config.h"

namespace grok::model {

// Reads a config.json: xAI's field names (LanguageModelConfig with its "model", and "derived" beside them) or Hugging
// Face's flat ones. Sizes and multipliers are required. Rope base, epsilon, cap and token ids default to Grok-1's.
// Other fields are ignored. One error lists all problems. Throws not_found, io, bad_checkpoint.
GrokConfig read_config(const std::string& path);

// d_ff of the experts. Source: xai-org/grok-1 model.py:ffn_size
int ffn_size(int emb_size, double widening_factor);

}  // namespace grok::model
