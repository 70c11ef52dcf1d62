#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "runtime/page_pool.h"
#include "runtime/request.h"

namespace grok::runtime {

using PageTokens = std::span<const std::int32_t, kPageSize>;

// Finds pages of the cache by their contents: the tokens of the page, after the page before it. A page is entered
// before it is computed, so that sequences that arrive together compute it once. Hashes only speed the search up:
// tokens are compared, so a collision cannot give wrong contents. Allocates nothing after its construction.
class PrefixCache {
 public:
  static constexpr std::int32_t kNoPage = -1;

  // Follows the pages that `pool` forgets. The pool must outlive the cache.
  explicit PrefixCache(PagePool& pool);
  PrefixCache(const PrefixCache&) = delete;

  int num_finished() const { return num_finished_; }

  // The page with `tokens` after page `parent`; kNoPage: none. A parent of kNoPage means the start of a sequence.
  std::int32_t find(std::int32_t parent, PageTokens tokens) const;

  // Enters a page that is in use. find() must not know its contents yet, and must know its parent.
  void add(std::int32_t page, std::int32_t parent, PageTokens tokens, SequenceId computed_by);
  // The page has been computed. It is kept after its last use.
  void finish(std::int32_t page);

  bool is_finished(std::int32_t page) const { return entry(page).is_finished; }
  // The sequence that computes an unfinished page.
  SequenceId computed_by(std::int32_t page) const { return entry(page).computed_by; }
  void compute_by(std::int32_t page, SequenceId sequence) { entry(page).computed_by = sequence; }

 private:
  struct Entry {
    bool is_known = false;
    bool is_finished = false;
    SequenceId computed_by = 0;
    std::int32_t parent = kNoPage;
    std::uint64_t hash = 0;  // of all tokens from the start of the sequence
    std::int32_t next_in_bucket = kNoPage;
    std::array<std::int32_t, kPageSize> tokens = {};
  };
  Entry& entry(std::int32_t page) { return entries_[std::size_t(page)]; }
  const Entry& entry(std::int32_t page) const { return entries_[std::size_t(page)]; }
  std::uint64_t hash_after(std::int32_t parent, PageTokens tokens) const;
  std::int32_t& bucket(std::uint64_t hash) { return buckets_[hash & (buckets_.size() - 1)]; }
  void remove(std::int32_t page);

  PagePool& pool_;
  std::vector<Entry> entries_;         // [num_pages]
  std::vector<std::int32_t> buckets_;  // first page of each bucket; a power of two of them
  int num_finished_ = 0;
};

}  // namespace grok::runtime
