#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "model/config.h"
#include "runtime/limits.h"
#include "runtime/memory_fit.h"

namespace grok::runtime {

// Bytes, before anything is allocated.
struct MemoryPlan {
  std::uint64_t weights = 0;  // as the backend keeps them; what stays in the files is not counted
  WeightStorage weight_storage = WeightStorage::packed;
  std::uint64_t kv_cache = 0;  // all sequences at full length; touched only as it is used
  KvCacheType kv_cache_type = KvCacheType::f32;
  std::uint64_t workspace = 0;                  // activations of a step, and what operations need while they run
  std::uint64_t reserve = 0;                    // stays free
  std::uint64_t kv_page = 0;                    // kPageSize positions of the cache in all layers
  std::optional<std::uint64_t> available = {};  // what the limit or the device allows; none: there is no such device
  std::uint64_t total() const { return weights + kv_cache + workspace + reserve; }
};

struct WeightSize {
  int layer = -1;  // -1: it is of no layer
  std::uint64_t resident_bytes = 0;
};

// A network as one device would hold it.
struct SizedNetwork {
  model::GrokConfig config;
  std::vector<WeightSize> weights;
  std::span<const LayerViews> layers;
  const Footprint& footprint;
  std::optional<std::uint64_t> available = {};  // none: there is no device to ask
  bool is_synthetic = false;                    // any number of layers will do
};

StepSize largest_step(const model::GrokConfig& config, const Limits& limits, std::span<const LayerViews> layers);

// Sums that would pass 64 bits stay at the largest number: too large to fit is all that matters here.
MemoryPlan plan_memory(const SizedNetwork& network, const Limits& limits);

// Whether the weights, the workspace, the reserve and the cache of one full-length sequence fit.
bool fits(const SizedNetwork& network, Limits limits);

// For a network that does not fit: of each setting the least change that is enough, or else a change of all together.
std::vector<MemoryFit> nearest_fits(const SizedNetwork& network, const Limits& limits);

// Throws a MemoryError with the numbers and the nearest fits, unless the network fits.
void require_fit(const SizedNetwork& network, const Limits& limits);

// Pages the cache gets: enough for all sequences at full length, or as many as fit.
int num_cache_pages(const MemoryPlan& plan, const Limits& limits);

}  // namespace grok::runtime
