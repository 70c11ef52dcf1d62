#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"

namespace grok::runtime {

class PageLease;

// The free pages. Leases the lowest first, so that memory is touched only when needed, and then reused. Returning pages
// allocates nothing.
class PagePool {
 public:
  explicit PagePool(int num_pages);

  int num_pages() const { return num_pages_; }
  int num_free() const { return int(free_.size()); }

  // Throws internal if fewer are free: check num_free() first. The pool must outlive the lease.
  PageLease lease(int num_pages);

 private:
  friend class PageLease;
  const int num_pages_;
  std::vector<std::int32_t> free_;  // a heap, lowest first
};

// Pages that a sequence owns, returned on destruction.
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
