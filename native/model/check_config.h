#pragma once

#include <string>

#include "model/config.h"
#include "model/weights.h"

namespace grok::model {

// `config_from` appears in messages: "config.json" or "built in (Grok-1)". Each function throws one bad_checkpoint
// error that lists all problems.

// Checks the range of every number, and that the numbers of heads fit each other.
void check_ranges(const GrokConfig& config, const std::string& config_from);

// Checks the ranges, and compares every size with the shapes of the tensors.
void check_config(const GrokConfig& config, const DerivedSizes& derived, const std::string& config_from);

}  // namespace grok::model
