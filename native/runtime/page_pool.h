#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"

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

}  // namespace grok::runtime
