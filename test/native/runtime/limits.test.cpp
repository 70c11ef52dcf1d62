#include "runtime/limits.h"

#include "testing.h"

namespace grok::runtime {
namespace {

Limits with(void (*change)(EngineOptions&)) {
  EngineOptions options;
  change(options);
  return limits_for(model::GrokConfig{}, options);
}

TEST("options out of range are refused by name, with the range") {
  CHECK_ERROR(with([](EngineOptions& options) { options.context_length = 8193; }), ErrorCode::invalid_argument,
              "context_length to be at most 8192, found 8193");
  CHECK_ERROR(with([](EngineOptions& options) { options.context_length = -1; }), ErrorCode::invalid_argument,
              "context_length");
  CHECK_ERROR(with([](EngineOptions& options) { options.max_sequences = -1; }), ErrorCode::invalid_argument,
              "max_sequences");
  CHECK_ERROR(with([](EngineOptions& options) { options.max_sequences = 1 << 30; }), ErrorCode::invalid_argument,
              "max_sequences");
  CHECK_ERROR(with([](EngineOptions& options) { options.prefill_chunk = -5; }), ErrorCode::invalid_argument,
              "prefill_chunk");
  CHECK_ERROR(with([](EngineOptions& options) { options.num_threads = -2; }), ErrorCode::invalid_argument,
              "num_threads");
  CHECK_ERROR(with([](EngineOptions& options) { options.kv_cache_type = "fp8"; }), ErrorCode::invalid_argument,
              "kv_cache_type to be \"f32\", \"bf16\" or \"int8\", found \"fp8\"");
  CHECK_ERROR(with([](EngineOptions& options) { options.weights = "paged"; }), ErrorCode::invalid_argument,
              "weights to be \"packed\" or \"mapped\", found \"paged\"");
}

TEST("the cache has the requested type, and f32 by default") {
  CHECK(with([](EngineOptions&) {}).kv_cache_type == KvCacheType::f32);
  CHECK(with([](EngineOptions& options) { options.kv_cache_type = "f32"; }).kv_cache_type == KvCacheType::f32);
  CHECK(with([](EngineOptions& options) { options.kv_cache_type = "bf16"; }).kv_cache_type == KvCacheType::bf16);
  CHECK(with([](EngineOptions& options) { options.kv_cache_type = "int8"; }).kv_cache_type == KvCacheType::int8);
}

TEST("weights have the requested storage, and are packed by default") {
  CHECK(with([](EngineOptions&) {}).weight_storage == WeightStorage::packed);
  CHECK(with([](EngineOptions& options) { options.weights = "packed"; }).weight_storage == WeightStorage::packed);
  CHECK(with([](EngineOptions& options) { options.weights = "mapped"; }).weight_storage == WeightStorage::mapped);
}

TEST("a step of one token still has an output row for each sequence") {
  const Limits limits = with([](EngineOptions& options) {
    options.prefill_chunk = 1;
    options.max_sequences = 1024;
  });
  CHECK_EQ(limits.max_tokens, 1025);
  CHECK_EQ(limits.max_outputs, 1024);
}

TEST("by default four sequences share Grok-1's context, and the logits of a step fit in 32 MiB") {
  const Limits limits = with([](EngineOptions&) {});
  CHECK_EQ(limits.context_length, 8192);
  CHECK_EQ(limits.max_sequences, 4);
  CHECK_EQ(limits.prefill_chunk, 512);
  CHECK_EQ(limits.max_tokens, 516);
  CHECK_EQ(limits.max_outputs, 64);  // 64 rows * 131072 values * 4 bytes
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
