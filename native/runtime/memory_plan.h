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

// Bytes of each kind of memory, computed before any allocation.
struct MemoryPlan {
  std::uint64_t weights = 0;  // in the backend's layout, without those that stay in the files
  WeightStorage weight_storage = WeightStorage::packed;
  std::uint64_t kv_cache = 0;  // all sequences at full length; touched only when it is used
  KvCacheType kv_cache_type = KvCacheType::f32;
  std::uint64_t workspace = 0;  // activations of a step, and scratch of the operations
  std::uint64_t reserve = 0;    // must stay free
  std::uint64_t kv_page = 0;    // kPageSize positions of the cache in all layers
  // the limit, or the free memory of the device; none: there is no such device
  std::optional<std::uint64_t> available = {};
  std::uint64_t total() const { return weights + kv_cache + workspace + reserve; }
};

struct WeightSize {
  int layer = -1;  // -1: outside the layers
  std::uint64_t resident_bytes = 0;
};

// The sizes of a network on one device.
struct SizedNetwork {
  model::GrokConfig config;
  std::vector<WeightSize> weights;
  std::span<const LayerViews> layers;
  const Footprint& footprint;
  std::optional<std::uint64_t> available = {};  // none: there is no device
  bool is_synthetic = false;                    // any number of layers is possible
};

StepSize largest_step(const model::GrokConfig& config, const Limits& limits, std::span<const LayerViews> layers);

// A sum that exceeds 64 bits becomes the largest number, which is too large to fit anyway.
MemoryPlan plan_memory(const SizedNetwork& network, const Limits& limits);

// Whether the weights, the workspace, the reserve and the cache of one full-length sequence fit.
bool fits(const SizedNetwork& network, Limits limits);

// For a network that does not fit: the least sufficient change of each setting, or else a change of all together.
std::vector<MemoryFit> nearest_fits(const SizedNetwork& network, const Limits& limits);

// Throws a MemoryError with the numbers and the nearest fits, unless the network fits.
void require_fit(const SizedNetwork& network, const Limits& limits);

// Pages of the cache: enough for all sequences at full length, or as many as fit.
int num_cache_pages(const MemoryPlan& plan, const Limits& limits);

}  // namespace grok::runtime
