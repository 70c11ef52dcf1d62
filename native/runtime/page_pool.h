#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "backend/backend.h"

namespace grok::runtime {

// The pages of the cache, by number. A page is free, in use by one sequence or several, or idle: used by none and kept
// for its contents. Allocates nothing after its construction.
class PagePool {
 public:
  explicit PagePool(int num_pages);

  int num_pages() const { return int(states_.size()) - 1; }
  int num_unused() const { return int(free_.size()) + num_idle_; }  // free or idle
  int num_idle() const { return num_idle_; }
  int num_available() const { return num_unused() - num_reserved_; }  // unused, and not reserved for a sequence
  int num_uses(std::int32_t page) const { return states_[std::size_t(page)].num_uses; }

  // Throws internal if fewer are available.
  void reserve(int num_pages);
  void cancel_reservation(int num_pages) { num_reserved_ -= num_pages; }

  // Turns one reserved page into a used one: the lowest free page, so that memory is touched only when needed. If none
  // is free, the page that has been idle longest, which loses its contents.
  std::int32_t take();
  // Adds a use to a page that is in use or idle.
  void share(std::int32_t page);
  // Ends one use. After the last, a page becomes idle if it is kept. Otherwise it loses its contents and is free.
  void release(std::int32_t page);

  // Keeps the contents of a used page after its last use.
  void keep(std::int32_t page) { states_[std::size_t(page)].is_kept = true; }

  // Called with each page that loses its contents.
  std::function<void(std::int32_t page)> on_forget;

 private:
  struct State {
    int num_uses = 0;
    bool is_kept = false;
    std::int32_t previous = 0, next = 0;  // of an idle page: its neighbours in the ring of idle pages
  };
  State& state_of(std::int32_t page) { return states_[std::size_t(page)]; }
  State& ring_head() { return states_.back(); }
  void add_idle(std::int32_t page);
  void remove_idle(std::int32_t page);
  void forget(std::int32_t page);

  std::vector<State> states_;       // of each page; then the head of the ring, whose `next` has been idle longest
  std::vector<std::int32_t> free_;  // a heap, lowest first
  int num_idle_ = 0;
  int num_reserved_ = 0;
};

// The pages of one sequence, and its reservation of those that it will need later. Given back on destruction.
class PageTable {
 public:
  PageTable() = default;
  // For at most `num_pages`, of which the first `num_shared` are shared. Reserves the others. The pool must outlive the
  // table.
  PageTable(PagePool& pool, int num_pages, int num_shared);
  PageTable(PageTable&& other) noexcept { *this = std::move(other); }
  PageTable& operator=(PageTable&& other) noexcept;
  ~PageTable();

  // Whether the sequence holds a place in the cache.
  bool is_admitted() const { return pool_ != nullptr; }
  std::span<const std::int32_t> pages() const { return pages_; }  // page i holds positions kPageSize * i ..

  // Appends a reserved page.
  void take();
  // Appends a page that others may use. It needs no reservation.
  void share(std::int32_t page);
  // Uses `page` in place of the page at `index`.
  void replace(int index, std::int32_t page);

 private:
  PagePool* pool_ = nullptr;
  std::vector<std::int32_t> pages_;
  int num_reserved_ = 0;
};

constexpr int pages_for(int num_tokens) { return (num_tokens + kPageSize - 1) / kPageSize; }

}  // namespace grok::runtime
