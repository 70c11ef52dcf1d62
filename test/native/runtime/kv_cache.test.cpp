#include "runtime/kv_cache.h"

#include <set>

#include "runtime/fake_backend.h"
#include "testing.h"

namespace grok::runtime {
namespace {

TEST("Grok-1's cache takes half a mebibyte a token") {
  const testing::FakeBackend backend;
  CHECK_EQ(page_bytes(backend.footprint(), model::GrokConfig{}, KvCacheType::f32),
           std::uint64_t(kPageSize) * 512 * 1024);
}

TEST("each layer has its own keys and values, of the requested type") {
  testing::FakeBackend backend;
  const KvCache cache(backend, testing::fake_config(), KvCacheType::bf16, 2);
  std::set<std::byte*> blocks;
  for (const KvPages& layer : cache.layers()) {
    blocks.insert(layer.keys);
    blocks.insert(layer.values);
    CHECK(layer.type == KvCacheType::bf16);
  }
  CHECK_EQ(blocks.size(), 4u);
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
