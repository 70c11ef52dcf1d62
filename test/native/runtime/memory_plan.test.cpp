#include "runtime/memory_plan.h"

#include <limits>

#include "model/forward.h"
#include "runtime/fake_backend.h"
#include "runtime/kv_cache.h"
#include "testing.h"

namespace grok {
namespace {

constexpr std::uint64_t kLargest = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kPageBytes = 4096;  // of all layers

Limits limits_of(int context_length, int max_sequences) {
  EngineOptions options;
  options.context_length = context_length;
  options.max_sequences = max_sequences;
  return limits_for(testing::fake_config(), options);
}

std::vector<BoundWeight> weights_of(std::uint64_t resident_bytes) {
  BoundWeight weight;
  weight.resident_bytes = resident_bytes;
  return {weight};
}

void check_fit(const MemoryPlan& plan, const Limits& limits) { require_fit(plan, limits); }

TEST("weights larger than the memory are refused with both numbers") {
  const Limits limits = limits_of(64, 1);
  const MemoryPlan plan =
      plan_memory(testing::fake_config(), limits, weights_of(300'000'000'000), kPageBytes, 16'000'000'000);
  CHECK_ERROR(check_fit(plan, limits), ErrorCode::out_of_memory, "needs 300 GB");
  CHECK_ERROR(check_fit(plan, limits), ErrorCode::out_of_memory, "16 GB is available");
  try {
    check_fit(plan, limits);
  } catch (const Error& error) {
    CHECK(error.hint.find("No context fits") != std::string::npos);
    CHECK(error.hint.find("With weights \"mapped\"") != std::string::npos);
  }
}

TEST("the way out that was taken already is not offered again") {
  Limits limits = limits_of(64, 1);
  limits.weight_storage = WeightStorage::mapped;
  const MemoryPlan plan = plan_memory(testing::fake_config(), limits, weights_of(3000), kPageBytes, 2000);
  CHECK(plan.weight_storage == WeightStorage::mapped);
  try {
    check_fit(plan, limits);
    CHECK(false);
  } catch (const Error& error) {
    CHECK(error.hint.find("mapped") == std::string::npos);
  }
}

TEST("a context that does not fit is refused with one that would") {
  const GrokConfig config = testing::fake_config();
  const Limits limits = limits_of(256, 1);
  MemoryPlan plan = plan_memory(config, limits, weights_of(1000), kPageBytes, 0);
  plan.available = plan.weights + plan.workspace + 4 * kPageBytes - 1;
  try {
    check_fit(plan, limits);
    CHECK(false);
  } catch (const Error& error) {
    CHECK(error.code == ErrorCode::out_of_memory);
    CHECK_EQ(error.hint, "A context_length of 192 tokens would fit.");
  }
  ++plan.available;
  check_fit(plan, limits);
}

TEST("sizes that pass 64 bits do not wrap around to small ones") {
  const Limits limits = limits_of(64, 1);
  const std::vector<BoundWeight> weights = {weights_of(kLargest)[0], weights_of(kLargest)[0]};
  const MemoryPlan plan = plan_memory(testing::fake_config(), limits, weights, kPageBytes, kLargest - 1);
  CHECK_EQ(plan.weights, kLargest);
  CHECK_ERROR(check_fit(plan, limits), ErrorCode::out_of_memory, "needs");
}

TEST("the cache is as large as all sequences at full length, or as what fits") {
  const GrokConfig config = testing::fake_config();
  const Limits limits = limits_of(256, 3);
  MemoryPlan plan = plan_memory(config, limits, weights_of(1000), kPageBytes, kLargest);
  CHECK_EQ(plan.kv_cache, 12 * kPageBytes);
  CHECK_EQ(num_cache_pages(plan, limits), 12);
  plan.available = plan.weights + plan.workspace + 5 * kPageBytes + 1;
  CHECK_EQ(num_cache_pages(plan, limits), 5);
}

TEST("the plan is the sum of what is allocated") {
  const GrokConfig config = testing::fake_config();
  const Limits limits = limits_of(64, 2);
  const MemoryPlan plan = plan_memory(config, limits, {weights_of(10)[0], weights_of(32)[0]}, kPageBytes, kLargest);
  CHECK_EQ(plan.weights, 42u);
  CHECK_EQ(plan.workspace, Workspace::size_bytes(config, limits.max_tokens, limits.max_outputs));
  CHECK_EQ(plan.total(), plan.weights + plan.workspace + plan.kv_cache);
}

}  // namespace
}  // namespace grok

TEST_MAIN()
