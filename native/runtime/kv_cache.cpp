#include "runtime/kv_cache.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "core/checked.h"
#include "core/error.h"

namespace grok::runtime {
namespace {

// Keys or values of one page in one layer.
std::uint64_t half_page_bytes(const Footprint& footprint, const model::GrokConfig& config, KvCacheType type) {
  return footprint.kv_page_bytes(type, config.num_kv_heads, config.head_dim);
}

}  // namespace

PagePool::PagePool(int num_pages) : num_pages_(num_pages), free_(std::size_t(num_pages)) {
  std::iota(free_.begin(), free_.end(), 0);  // in order, and so a heap
}

PageLease PagePool::lease(int num_pages) {
  if (num_pages > num_free())
    throw Error(ErrorCode::internal, concat("the cache has ", num_free(), " free pages, ", num_pages, " were taken"));
  PageLease lease;
  lease.pool_ = this;
  lease.pages_.reserve(std::size_t(num_pages));
  while (int(lease.pages_.size()) < num_pages) {
    std::pop_heap(free_.begin(), free_.end(), std::greater());
    lease.pages_.push_back(free_.back());
    free_.pop_back();
  }
  return lease;
}

PageLease& PageLease::operator=(PageLease&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(pages_, other.pages_);
  return *this;
}

PageLease::~PageLease() {
  for (const std::int32_t page : pages_) {
    pool_->free_.push_back(page);
    std::push_heap(pool_->free_.begin(), pool_->free_.end(), std::greater());
  }
}

std::uint64_t page_bytes(const Footprint& footprint, const model::GrokConfig& config, KvCacheType type) {
  return checked_mul(2 * std::uint64_t(config.num_layers), half_page_bytes(footprint, config, type));
}

KvCache::KvCache(Backend& backend, const model::GrokConfig& config, KvCacheType type, int num_pages)
    : pool_(num_pages) {
  const std::uint64_t bytes = checked_mul(half_page_bytes(backend.footprint(), config, type), std::uint64_t(num_pages));
  for (int layer = 0; layer < config.num_layers; ++layer) {
    BufferPtr keys = backend.allocate(bytes), values = backend.allocate(bytes);
    layers_.push_back({.keys = keys->as<std::byte>(), .values = values->as<std::byte>(), .type = type});
    buffers_.push_back(std::move(keys));
    buffers_.push_back(std::move(values));
  }
}

}  // namespace grok::runtime
