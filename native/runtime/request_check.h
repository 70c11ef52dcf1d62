#pragma once

#include "model/config.h"
#include "runtime/request.h"

namespace grok::runtime {

// Throws invalid_argument or context_overflow, with what was expected and what was found, for a request that no step could
// run as it stands.
void check_request(const SequenceRequest& request, const model::GrokConfig& config, int context_length);

}  // namespace grok::runtime
