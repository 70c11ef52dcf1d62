#include "runtime/page_pool.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <ranges>
#include <utility>

#include "core/error.h"

namespace grok::runtime {

PagePool::PagePool(int num_pages) : states_(std::size_t(num_pages) + 1), free_(std::size_t(num_pages)) {
  ring_head().previous = ring_head().next = num_pages;
  std::iota(free_.begin(), free_.end(), 0);  // sorted, and therefore a heap
}

void PagePool::reserve(int num_pages) {
  if (num_pages > num_available())
    throw Error(ErrorCode::internal,
                concat("the cache has ", num_available(), " available pages, ", num_pages, " were reserved"));
  num_reserved_ += num_pages;
}

std::int32_t PagePool::take() {
  if (num_reserved_ == 0) throw Error(ErrorCode::internal, "a page of the cache was taken without a reservation");
  --num_reserved_;
  if (free_.empty()) {
    const std::int32_t longest_idle = ring_head().next;
    remove_idle(longest_idle);
    forget(longest_idle);
  }
  std::pop_heap(free_.begin(), free_.end(), std::greater());
  const std::int32_t page = free_.back();
  free_.pop_back();
  state_of(page).num_uses = 1;
  return page;
}

void PagePool::share(std::int32_t page) {
  if (state_of(page).num_uses++ == 0) remove_idle(page);
}

void PagePool::release(std::int32_t page) {
  if (--state_of(page).num_uses > 0) return;
  if (state_of(page).is_kept)
    add_idle(page);
  else
    forget(page);
}

void PagePool::add_idle(std::int32_t page) {
  const std::int32_t head = std::int32_t(num_pages()), last = ring_head().previous;
  state_of(page).previous = last;
  state_of(page).next = head;
  state_of(last).next = ring_head().previous = page;
  ++num_idle_;
}

void PagePool::remove_idle(std::int32_t page) {
  const auto [previous, next] = std::pair(state_of(page).previous, state_of(page).next);
  state_of(previous).next = next;
  state_of(next).previous = previous;
  --num_idle_;
}

void PagePool::forget(std::int32_t page) {
  state_of(page).is_kept = false;
  if (on_forget) on_forget(page);
  free_.push_back(page);
  std::push_heap(free_.begin(), free_.end(), std::greater());
}

PageTable::PageTable(PagePool& pool, int num_pages, int num_shared) {
  pages_.reserve(std::size_t(num_pages));
  pool.reserve(num_pages - num_shared);
  num_reserved_ = num_pages - num_shared;
  pool_ = &pool;
}

PageTable& PageTable::operator=(PageTable&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(pages_, other.pages_);
  std::swap(num_reserved_, other.num_reserved_);
  return *this;
}

// Later pages first: a page becomes idle after those that continue it, and is evicted after them.
PageTable::~PageTable() {
  if (!pool_) return;
  for (const std::int32_t page : std::views::reverse(pages_)) pool_->release(page);
  pool_->cancel_reservation(num_reserved_);
}

void PageTable::take() {
  pages_.push_back(pool_->take());
  --num_reserved_;
}

void PageTable::share(std::int32_t page) {
  pool_->share(page);
  pages_.push_back(page);
}

void PageTable::replace(int index, std::int32_t page) {
  pool_->share(page);
  pool_->release(std::exchange(pages_[std::size_t(index)], page));
}

}  // namespace grok::runtime
