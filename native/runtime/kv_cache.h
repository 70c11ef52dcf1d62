#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "model/config.h"

namespace grok::runtime {

class PageLease;

// Which pages are free. Lowest first, so that memory is touched only as it is needed, and then again. Giving pages back
// allocates nothing.
class PagePool {
 public:
  explicit PagePool(int num_pages);

  int num_pages() const { return num_pages_; }
  int num_free() const { return int(free_.size()); }

  // Throws internal when fewer are free: ask num_free() first. The pool must outlive the lease.
  PageLease lease(int num_pages);

 private:
  friend class PageLease;
  const int num_pages_;
  std::vector<std::int32_t> free_;  // a heap, lowest first
};

// Pages that a sequence owns, given back on destruction.
class PageLease {
 public:
  PageLease() = default;
  PageLease(PageLease&& other) noexcept { *this = std::move(other); }
  PageLease& operator=(PageLease&& other) noexcept;
  ~PageLease();

  bool empty() const { return pages_.empty(); }
  std::span<const std::int32_t> pages() const { return pages_; }  // page i holds positions kPageSize * i ..

 private:
  friend class PagePool;
  PagePool* pool_ = nullptr;
  std::vector<std::int32_t> pages_;
};

constexpr int pages_for(int num_tokens) { return (num_tokens + kPageSize - 1) / kPageSize; }

// Bytes of one page in all layers, keys and values.
std::uint64_t page_bytes(const Footprint& footprint, const model::GrokConfig& config, KvCacheType type);

// The memory behind the pages.
class KvCache {
 public:
  KvCache(Backend& backend, const model::GrokConfig& config, KvCacheType type, int num_pages);

  const std::vector<KvPages>& layers() const { return layers_; }  // [num_layers]
  PagePool& pool() { return pool_; }

 private:
  std::vector<BufferPtr> buffers_;
  std::vector<KvPages> layers_;
  PagePool pool_;
};

}  // namespace grok::runtime
