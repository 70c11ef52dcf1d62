#pragma once

#include "model/config.h"
#include "runtime/request.h"

namespace grok::runtime {

// Throws invalid_argument or context_overflow, with the expected and found values, for a request that no step can run.
void check_request(const SequenceRequest& request, const model::GrokConfig& config, int context_length);

}  // namespace grok::runtime
