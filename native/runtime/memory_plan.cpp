#include "runtime/memory_plan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/error.h"
#include "model/forward.h"
#include "runtime/kv_cache.h"

namespace grok {
namespace {

constexpr std::uint64_t kLargest = std::numeric_limits<std::uint64_t>::max();

std::uint64_t saturating_add(std::uint64_t a, std::uint64_t b) { return a > kLargest - b ? kLargest : a + b; }

std::uint64_t saturating_mul(std::uint64_t a, std::uint64_t b) {
  std::uint64_t product;
  return __builtin_mul_overflow(a, b, &product) ? kLargest : product;
}

std::uint64_t left_of(std::uint64_t from, std::uint64_t taken) { return from - std::min(from, taken); }

std::string in_words(std::uint64_t size_bytes) {
  const bool is_large = size_bytes >= 1'000'000'000;
  return concat(std::round(double(size_bytes) / (is_large ? 1e7 : 1e4)) / 100, is_large ? " GB" : " MB");
}

}  // namespace

MemoryPlan plan_memory(const GrokConfig& config, const Limits& limits, const std::vector<BoundWeight>& bound,
                       std::uint64_t kv_page, std::uint64_t available) {
  MemoryPlan plan;
  for (const BoundWeight& weight : bound) plan.weights = saturating_add(plan.weights, weight.resident_bytes);
  const auto num_pages = std::uint64_t(limits.max_sequences) * std::uint64_t(pages_for(limits.context_length));
  plan.weight_storage = limits.weight_storage;
  plan.kv_cache_type = limits.kv_cache_type;
  plan.kv_page = kv_page;
  plan.kv_cache = saturating_mul(num_pages, kv_page);
  plan.workspace = Workspace::size_bytes(config, limits.max_tokens, limits.max_outputs);
  plan.available = available;
  return plan;
}

void require_fit(const MemoryPlan& plan, const Limits& limits) {
  const std::uint64_t fixed = saturating_add(plan.weights, plan.workspace);
  const std::uint64_t sequence = saturating_mul(std::uint64_t(pages_for(limits.context_length)), plan.kv_page);
  const std::uint64_t needed = saturating_add(fixed, sequence);
  if (needed <= plan.available) return;

  const std::uint64_t fitting_pages = left_of(plan.available, fixed) / plan.kv_page;
  std::string hint =
      fitting_pages > 0
          ? concat("A context_length of ", fitting_pages * kPageSize, " tokens would fit.")
          : concat("No context fits beside the weights and the workspace. Run on a machine with more than ",
                   in_words(needed), " to spare, or raise memory_limit if you set one.");
  if (fitting_pages == 0 && plan.weight_storage == WeightStorage::packed)
    hint += " With weights \"mapped\" they stay in the checkpoint's files, and decoding is slower.";
  throw Error(ErrorCode::out_of_memory,
              concat("the model needs ", in_words(needed), " of memory (weights ", in_words(plan.weights),
                     ", workspace ", in_words(plan.workspace), ", cache for one sequence of ", limits.context_length,
                     " tokens ", in_words(sequence), ") and ", in_words(plan.available), " is available"),
              hint);
}

int num_cache_pages(const MemoryPlan& plan, const Limits& limits) {
  const std::uint64_t fitting = left_of(plan.available, saturating_add(plan.weights, plan.workspace)) / plan.kv_page;
  const auto wanted = std::uint64_t(limits.max_sequences) * std::uint64_t(pages_for(limits.context_length));
  return int(std::min({fitting, wanted, std::uint64_t(std::numeric_limits<int>::max())}));
}

}  // namespace grok
