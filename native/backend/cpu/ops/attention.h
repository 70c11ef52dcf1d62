#pragma once

#include <cstddef>

#include "backend/backend.h"

namespace grok::cpu {

// Bytes of scratch that attention needs for any batch of a step up to this size.
std::size_t attention_scratch_bytes(const StepSize& largest, int num_threads);

}  // namespace grok::cpu
