#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"
#include "model/weights.h"
#include "runtime/engine.h"
#include "runtime/limits.h"

namespace grok {

// kv_page: page_bytes() of runtime/kv_cache.h. Sums that would pass 64 bits stay at the largest number: too large to fit is all that matters here.
MemoryPlan plan_memory(const GrokConfig& config, const Limits& limits, const std::vector<BoundWeight>& bound,
                       std::uint64_t kv_page, std::uint64_t available);

// Throws out_of_memory, with the numbers and what would fit, unless the weights, the workspace and the cache of one
// full-length sequence fit.
void require_fit(const MemoryPlan& plan, const Limits& limits);

// Pages the cache gets: enough for all sequences at full length, or as many as fit.
int num_cache_pages(const MemoryPlan& plan, const Limits& limits);

}  // namespace grok
