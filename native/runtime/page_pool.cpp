#include "runtime/page_pool.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "core/error.h"

namespace grok::runtime {

PagePool::PagePool(int num_pages) : num_pages_(num_pages), free_(std::size_t(num_pages)) {
  std::iota(free_.begin(), free_.end(), 0);  // sorted, and therefore a heap
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

}  // namespace grok::runtime
