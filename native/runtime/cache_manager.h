#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "runtime/page_pool.h"
#include "runtime/prefix_cache.h"
#include "runtime/sequence.h"

namespace grok::runtime {

// Gives sequences their pages of the cache. Sequences whose first tokens are equal use the same pages. One of them
// computes a page, and the others wait for it.
class CacheManager {
 public:
  CacheManager(int num_pages, bool shares_prefixes);

  const PagePool& pool() const { return pool_; }
  int num_cached_pages() const { return prefix_ ? prefix_->num_finished() : 0; }
  std::uint64_t num_reused_tokens() const { return num_reused_tokens_; }

  // Gives `sequence` a place in the cache: the pages that are known by now, and a reservation of all that it can still
  // need. So it never lacks a page later. Returns false if there are not enough pages.
  bool admit(SequenceId id, Sequence& sequence);

  // Moves an admitted sequence past the pages that others have finished. Returns the number of its next tokens that it
  // can compute: none if a sequence for which `is_active` holds computes them. If that sequence pauses or ends, this
  // one computes them in its place.
  int computable_tokens(SequenceId id, Sequence& sequence, const std::function<bool(SequenceId)>& is_active);

  // Takes the pages of the next `num_tokens`.
  void grow(Sequence& sequence, int num_tokens);

  // The next `num_tokens` have been computed.
  void advance(SequenceId id, Sequence& sequence, int num_tokens);

  // Gives the pages of the sequence back. It starts over when it is admitted again.
  void release(Sequence& sequence);

 private:
  void publish(SequenceId id, Sequence& sequence, int index);

  PagePool pool_;
  std::optional<PrefixCache> prefix_;  // none: sequences share no pages
  std::uint64_t num_reused_tokens_ = 0;
};

}  // namespace grok::runtime
