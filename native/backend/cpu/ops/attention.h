#pragma once

#include <cstddef>

#include "backend/backend.h"

namespace grok::cpu {

// Of scratch that attention takes for any batch of a step of at most this size.
std::size_t attention_scratch_bytes(const StepSize& largest, int num_threads);

}  // namespace grok::cpu
