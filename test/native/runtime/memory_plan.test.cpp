#include "runtime/memory_plan.h"

#include <limits>

#include "model/forward.h"
#include "runtime/fake_backend.h"
#include "runtime/kv_cache.h"
#include "testing.h"

namespace grok::runtime {
namespace {

constexpr std::uint64_t kLargest = std::numeric_limits<std::uint64_t>::max();

Limits limits_of(int context_length, int max_sequences, int prefill_chunk = 0) {
  EngineOptions options;
  options.context_length = context_length;
  options.max_sequences = max_sequences;
  options.prefill_chunk = prefill_chunk;
  return limits_for(testing::fake_config(), options);
}

// Weights outside the layers.
SizedNetwork network_of(const std::vector<std::uint64_t>& weights, const Footprint& footprint,
                        std::optional<std::uint64_t> available = {}) {
  const model::GrokConfig config = testing::fake_config();
  static const std::vector<LayerViews> layers(std::size_t(config.num_layers));
  SizedNetwork network{
      .config = config, .weights = {}, .layers = layers, .footprint = footprint, .available = available};
  for (const std::uint64_t size : weights) network.weights.push_back({.layer = -1, .resident_bytes = size});
  return network;
}

std::uint64_t page_of(const Footprint& footprint, KvCacheType type = KvCacheType::f32) {
  return page_bytes(footprint, testing::fake_config(), type);
}

// The fits of a network that does not fit, as "max_sequences 2 & prefill_chunk 64 | context_length 128".
std::string fits_of(const SizedNetwork& network, const Limits& limits) {
  try {
    require_fit(network, limits);
    return "it fits";
  } catch (const MemoryError& error) {
    CHECK(error.code == ErrorCode::out_of_memory);
    CHECK(error.needed_bytes > error.available_bytes);
    std::string text;
    for (const MemoryFit& fit : error.fits) {
      std::string together;
      const auto add = [&](const char* name, const auto& value) {
        if (value) together += concat(together.empty() ? "" : " & ", name, " ", *value);
      };
      add("max_sequences", fit.max_sequences);
      add("prefill_chunk", fit.prefill_chunk);
      add("kv_cache_type", fit.kv_cache_type ? std::optional(name_of(*fit.kv_cache_type)) : std::nullopt);
      add("context_length", fit.context_length);
      add("num_layers", fit.num_layers);
      text += (text.empty() ? "" : " | ") + together;
    }
    return text;
  }
}

// Memory without the cache.
std::uint64_t fixed_of(const MemoryPlan& plan) { return plan.weights + plan.workspace + plan.reserve; }

TEST("weights larger than the memory are refused with both numbers") {
  const testing::FakeFootprint footprint;
  const Limits limits = limits_of(64, 1);
  const SizedNetwork network = network_of({300'000'000'000}, footprint, 16'000'000'000);
  CHECK_ERROR(require_fit(network, limits), ErrorCode::out_of_memory, "needs 300 GB of memory");
  CHECK_ERROR(require_fit(network, limits), ErrorCode::out_of_memory, "16 GB is available");
  CHECK_EQ(fits_of(network, limits), "");
}

TEST("a context that does not fit is refused with one that would, and with a type of cache that would") {
  const testing::FakeFootprint footprint;
  const Limits limits = limits_of(256, 1, 1);
  SizedNetwork network = network_of({1000}, footprint);
  network.available = fixed_of(plan_memory(network, limits)) + 4 * page_of(footprint) - 1;
  CHECK_EQ(fits_of(network, limits), "kv_cache_type bf16 | context_length 192");
  network.available = fixed_of(plan_memory(network, limits)) + page_of(footprint);
  CHECK_EQ(fits_of(network, limits), "kv_cache_type int8 | context_length 64");
  network.available = fixed_of(plan_memory(network, limits)) + 4 * page_of(footprint);
  CHECK_EQ(fits_of(network, limits), "it fits");
}

TEST("a workspace that does not fit is refused with fewer sequences and a shorter chunk that would") {
  testing::FakeFootprint footprint;
  footprint.token_scratch = 1 << 20;
  const Limits limits = limits_of(64, 300, 512);
  SizedNetwork network = network_of({1000}, footprint);
  const auto need_of = [&](const Limits& of) { return fixed_of(plan_memory(network, of)) + page_of(footprint); };
  network.available = need_of(limits_of(64, 100, 512));
  CHECK_EQ(fits_of(network, limits), "max_sequences 100 | prefill_chunk 256");  // 312 does
  CHECK_EQ(fits_of(network, limits_of(64, 100, 512)), "it fits");
  CHECK_EQ(fits_of(network, limits_of(64, 300, 256)), "it fits");
}

TEST("if no change of one setting is enough, a change of all is offered") {
  testing::FakeFootprint footprint;
  footprint.token_scratch = 1 << 20;
  SizedNetwork network = network_of({1000}, footprint);
  Limits smallest = limits_of(128, 1, 64);
  smallest.kv_cache_type = KvCacheType::int8;
  network.available = fixed_of(plan_memory(network, smallest)) + 2 * page_of(footprint, KvCacheType::int8);
  CHECK_EQ(fits_of(network, limits_of(256, 300, 512)),
           "max_sequences 1 & prefill_chunk 64 & kv_cache_type int8 & context_length 128");
  CHECK_EQ(fits_of(network, limits_of(100, 300, 512)),  // is not of whole pages, and may stay
           "max_sequences 1 & prefill_chunk 64 & kv_cache_type int8");
  CHECK_EQ(fits_of(network, smallest), "it fits");
}

TEST("for a synthetic network, as many layers are offered as fit") {
  const testing::FakeFootprint footprint;
  const Limits limits = limits_of(64, 1);
  SizedNetwork network = network_of({1000}, footprint);
  for (const int layer : {0, 1}) network.weights.push_back({.layer = layer, .resident_bytes = 1'000'000});
  network.available = fixed_of(plan_memory(network, limits)) - 500'000;
  CHECK_EQ(fits_of(network, limits), "");
  network.is_synthetic = true;
  CHECK_EQ(fits_of(network, limits), "num_layers 1");
  network.config.num_layers = 1;
  CHECK_EQ(fits_of(network, limits), "it fits");
}

TEST("sizes that pass 64 bits do not wrap around to small ones") {
  const testing::FakeFootprint footprint;
  const SizedNetwork network = network_of({kLargest, kLargest}, footprint, kLargest - 1);
  const Limits limits = limits_of(64, 1);
  CHECK_EQ(plan_memory(network, limits).weights, kLargest);
  CHECK_ERROR(require_fit(network, limits), ErrorCode::out_of_memory, "needs");
}

TEST("a step whose size passes 64 bits is out of memory: the options made it so, not the checkpoint") {
  const testing::FakeFootprint footprint;
  SizedNetwork network = network_of({1}, footprint, kLargest);
  network.config.d_model = std::numeric_limits<int>::max();
  Limits limits = limits_of(64, 1);
  limits.max_tokens = std::numeric_limits<int>::max();
  CHECK_ERROR(plan_memory(network, limits), ErrorCode::out_of_memory, "exceeds 64 bits");
}

TEST("memory that must stay free is not used for the cache") {
  testing::FakeFootprint footprint;
  const Limits limits = limits_of(64, 1);
  SizedNetwork network = network_of({1000}, footprint);
  network.available = plan_memory(network, limits).total();
  CHECK_EQ(fits_of(network, limits), "it fits");
  footprint.reserve = 12'000'000;
  CHECK_ERROR(require_fit(network, limits), ErrorCode::out_of_memory, ", reserve 12 MB,");
}

TEST("without a device nothing is refused, and the plan states the memory that one would need") {
  const testing::FakeFootprint footprint;
  const Limits limits = limits_of(256, 3);
  const SizedNetwork network = network_of({300'000'000'000}, footprint);
  require_fit(network, limits);
  const MemoryPlan plan = plan_memory(network, limits);
  CHECK(!plan.available);
  CHECK(plan.total() > 300'000'000'000);
  CHECK_EQ(num_cache_pages(plan, limits), 12);
}

TEST("the cache is as large as all sequences at full length, or as what fits") {
  const testing::FakeFootprint footprint;
  const Limits limits = limits_of(256, 3);
  MemoryPlan plan = plan_memory(network_of({1000}, footprint, kLargest), limits);
  CHECK_EQ(plan.kv_cache, 12 * page_of(footprint));
  CHECK_EQ(num_cache_pages(plan, limits), 12);
  plan.available = fixed_of(plan) + 5 * page_of(footprint) + 1;
  CHECK_EQ(num_cache_pages(plan, limits), 5);
}

TEST("the plan is the sum of what is allocated") {
  testing::FakeFootprint footprint;
  footprint.token_scratch = 1000;
  footprint.reserve = 77;
  const model::GrokConfig config = testing::fake_config();
  const Limits limits = limits_of(64, 2);
  const MemoryPlan plan = plan_memory(network_of({10, 32}, footprint, kLargest), limits);
  CHECK_EQ(plan.weights, 42u);
  CHECK_EQ(plan.workspace,
           model::Workspace::size_bytes(footprint, config, largest_step(config, limits, {})) + 514u * 1000);
  CHECK_EQ(plan.total(), plan.weights + plan.workspace + plan.kv_cache + 77);
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
