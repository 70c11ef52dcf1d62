#include "runtime/kv_cache.h"

#include <utility>

#include "core/checked.h"

namespace grok::runtime {
namespace {

// Keys or values of one page in one layer.
std::uint64_t half_page_bytes(const Footprint& footprint, const model::GrokConfig& config, KvCacheType type) {
  return footprint.kv_page_bytes(type, config.num_kv_heads, config.head_dim);
}

}  // namespace

std::uint64_t page_bytes(const Footprint& footprint, const model::GrokConfig& config, KvCacheType type) {
  return checked_mul(2 * std::uint64_t(config.num_layers), half_page_bytes(footprint, config, type));
}

KvCache::KvCache(Backend& backend, const model::GrokConfig& config, KvCacheType type, int num_pages) {
  const std::uint64_t bytes = checked_mul(half_page_bytes(backend.footprint(), config, type), std::uint64_t(num_pages),
                                          ErrorCode::out_of_memory);
  for (int layer = 0; layer < config.num_layers; ++layer) {
    BufferPtr keys = backend.allocate(bytes), values = backend.allocate(bytes);
    layers_.push_back({.keys = keys->as<std::byte>(), .values = values->as<std::byte>(), .type = type});
    buffers_.push_back(std::move(keys));
    buffers_.push_back(std::move(values));
  }
}

}  // namespace grok::runtime
