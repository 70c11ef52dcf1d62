#include "runtime/memory_plan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/error.h"
#include "model/forward.h"
#include "runtime/kv_cache.h"
#include "runtime/page_pool.h"

namespace grok::runtime {
namespace {

constexpr std::uint64_t kLargest = std::numeric_limits<std::uint64_t>::max();

std::uint64_t saturating_add(std::uint64_t a, std::uint64_t b) { return a > kLargest - b ? kLargest : a + b; }

std::uint64_t saturating_mul(std::uint64_t a, std::uint64_t b) {
  std::uint64_t product;
  return __builtin_mul_overflow(a, b, &product) ? kLargest : product;
}

std::string in_words(std::uint64_t size_bytes) {
  const bool is_large = size_bytes >= 1'000'000'000;
  return concat(std::round(double(size_bytes) / (is_large ? 1e7 : 1e4)) / 100, is_large ? " GB" : " MB");
}

std::uint64_t saturating_sub(std::uint64_t a, std::uint64_t b) { return a - std::min(a, b); }

// Memory that does not depend on the size of the cache.
std::uint64_t fixed_of(const MemoryPlan& plan) {
  return saturating_add(plan.weights, saturating_add(plan.workspace, plan.reserve));
}

std::uint64_t cache_of_one(const MemoryPlan& plan, const Limits& limits) {
  return saturating_mul(std::uint64_t(pages_for(limits.context_length)), plan.kv_page);
}

// The least memory for a model to run: its cache holds one sequence.
std::uint64_t needed_bytes(const MemoryPlan& plan, const Limits& limits) {
  return saturating_add(fixed_of(plan), cache_of_one(plan, limits));
}

// The largest number from 1 to `most` for which the predicate is true; 0 if there is none. If it is true for a number,
// it must be true for all smaller ones.
template <typename Predicate>
int largest(int most, Predicate holds) {
  int low = 0;
  for (int high = most + 1; high - low > 1;) {
    const int middle = low + (high - low) / 2;
    (holds(middle) ? low : high) = middle;
  }
  return low;
}

int largest_context(const SizedNetwork& network, const Limits& limits) {
  const int pages = largest(pages_for(limits.context_length), [&](int num_pages) {
    Limits shorter = limits;
    shorter.context_length = std::min(num_pages * kPageSize, limits.context_length);
    return fits(network, shorter);
  });
  return std::min(pages * kPageSize, limits.context_length);
}

int largest_num_layers(SizedNetwork network, const Limits& limits) {
  return largest(network.config.num_layers - 1, [&](int num_layers) {
    network.config.num_layers = num_layers;
    return fits(network, limits);
  });
}

}  // namespace

StepSize largest_step(const model::GrokConfig& config, const Limits& limits, std::span<const LayerViews> layers) {
  return {.num_tokens = limits.max_tokens,
          .num_sequences = limits.max_sequences,
          .num_outputs = limits.max_outputs,
          .num_positions = limits.context_length,
          .num_q_heads = config.num_q_heads,
          .num_kv_heads = config.num_kv_heads,
          .head_dim = config.head_dim,
          .experts_per_token = config.experts_per_token,
          .vocab_size = config.vocab_size,
          .layers = layers};
}

MemoryPlan plan_memory(const SizedNetwork& network, const Limits& limits) {
  const model::GrokConfig& config = network.config;
  MemoryPlan plan;
  for (const WeightSize& weight : network.weights)
    if (weight.layer < config.num_layers) plan.weights = saturating_add(plan.weights, weight.resident_bytes);
  const auto num_pages = std::uint64_t(limits.max_sequences) * std::uint64_t(pages_for(limits.context_length));
  const StepSize step = largest_step(config, limits, network.layers.first(std::size_t(config.num_layers)));
  plan.weight_storage = limits.weight_storage;
  plan.kv_cache_type = limits.kv_cache_type;
  plan.kv_page = page_bytes(network.footprint, config, limits.kv_cache_type);
  plan.kv_cache = saturating_mul(num_pages, plan.kv_page);
  plan.workspace = saturating_add(model::Workspace::size_bytes(network.footprint, config, step),
                                  network.footprint.scratch_bytes(step));
  plan.reserve = network.footprint.reserve_bytes();
  plan.available = network.available;
  return plan;
}

bool fits(const SizedNetwork& network, Limits limits) {
  limits = with_step_size(limits, network.config);
  return !network.available || needed_bytes(plan_memory(network, limits), limits) <= *network.available;
}

std::vector<MemoryFit> nearest_fits(const SizedNetwork& network, const Limits& limits) {
  const auto fits_with = [&](auto limit, auto value) {
    Limits changed = limits;
    changed.*limit = value;
    return fits(network, changed);
  };
  std::vector<MemoryFit> found;
  const auto fewer = [&](int count) { return fits_with(&Limits::max_sequences, count); };
  if (const int count = largest(limits.max_sequences - 1, fewer); count > 0) found.push_back({.max_sequences = count});
  const auto shorter = [&](int pages) { return fits_with(&Limits::prefill_chunk, pages * kPageSize); };
  if (const int pages = largest(limits.prefill_chunk / kPageSize, shorter); pages > 0)
    found.push_back({.prefill_chunk = pages * kPageSize});
  for (const KvCacheType type : {KvCacheType::bf16, KvCacheType::int8})  // the larger first
    if (type > limits.kv_cache_type && fits_with(&Limits::kv_cache_type, type)) {
      found.push_back({.kv_cache_type = type});
      break;
    }
  if (const int context = largest_context(network, limits); context > 0) found.push_back({.context_length = context});

  if (found.empty()) {  // change all of them together
    Limits smallest = limits;
    smallest.max_sequences = 1;
    smallest.prefill_chunk = std::min(limits.prefill_chunk, kPageSize);
    smallest.kv_cache_type = KvCacheType::int8;
    if (const int context = largest_context(network, smallest); context > 0) {
      const auto changed = [&](auto limit, auto value) {
        return limits.*limit == value ? std::nullopt : std::optional(value);
      };
      found.push_back({.max_sequences = changed(&Limits::max_sequences, 1),
                       .prefill_chunk = changed(&Limits::prefill_chunk, smallest.prefill_chunk),
                       .context_length = changed(&Limits::context_length, context),
                       .kv_cache_type = changed(&Limits::kv_cache_type, KvCacheType::int8)});
    }
  }
  if (network.is_synthetic)
    if (const int num_layers = largest_num_layers(network, limits); num_layers > 0)
      found.push_back({.num_layers = num_layers});
  return found;
}

void require_fit(const SizedNetwork& network, const Limits& limits) {
  if (fits(network, limits)) return;
  const MemoryPlan plan = plan_memory(network, limits);
  const std::uint64_t needed = needed_bytes(plan, limits);
  MemoryError error(concat("the model needs ", in_words(needed), " of ", network.footprint.memory_name(), " (weights ",
                           in_words(plan.weights), ", workspace ", in_words(plan.workspace),
                           plan.reserve > 0 ? concat(", reserve ", in_words(plan.reserve)) : "",
                           ", cache for one sequence of ", limits.context_length, " tokens ",
                           in_words(cache_of_one(plan, limits)), ") and ", in_words(*plan.available), " is available"));
  error.fits = nearest_fits(network, limits);
  error.needed_bytes = needed;
  error.available_bytes = *plan.available;
  error.memory_name = network.footprint.memory_name();
  throw error;
}

int num_cache_pages(const MemoryPlan& plan, const Limits& limits) {
  const std::uint64_t fitting = saturating_sub(plan.available.value_or(kLargest), fixed_of(plan)) / plan.kv_page;
  const auto wanted = std::uint64_t(limits.max_sequences) * std::uint64_t(pages_for(limits.context_length));
  return int(std::min({fitting, wanted, std::uint64_t(std::numeric_limits<int>::max())}));
}

}  // namespace grok::runtime
