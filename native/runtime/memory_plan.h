#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "model/config.h"
#include "model/weights.h"
#include "runtime/engine.h"
#include "runtime/limits.h"

namespace grok::runtime {

// What a plan is made from.
struct Planned {
  model::GrokConfig config;
  std::vector<model::BoundWeight> weights;
  std::vector<LayerViews> layers;
  const Footprint& footprint;
  std::optional<std::uint64_t> available = {};  // none: there is no device to ask
  bool is_synthetic = false;                    // any number of layers will do
};

StepSize largest_step(const model::GrokConfig& config, const Limits& limits, std::span<const LayerViews> layers);

// Sums that would pass 64 bits stay at the largest number: too large to fit is all that matters here.
MemoryPlan plan_memory(const Planned& planned, const Limits& limits);

// Throws out_of_memory, with the numbers and the nearest that would fit, unless the weights, the workspace, the reserve and
// the cache of one full-length sequence do.
void require_fit(const Planned& planned, const Limits& limits);

// Pages the cache gets: enough for all sequences at full length, or as many as fit.
int num_cache_pages(const MemoryPlan& plan, const Limits& limits);

}  // namespace grok::runtime
