#pragma once

#include <string>

#include "model/config.h"
#include "model/weights.h"

namespace grok::model {

// `config_from` stands in messages: "config.json" or "built in (Grok-1)". Each throws one bad_checkpoint error that
// lists all that is wrong.

// Every number by itself, and heads against each other.
void check_ranges(const GrokConfig& config, const std::string& config_from);

// Ranges, and every size against what the shapes of the tensors say.
void check_config(const GrokConfig& config, const DerivedSizes& derived, const std::string& config_from);

}  // namespace grok::model
