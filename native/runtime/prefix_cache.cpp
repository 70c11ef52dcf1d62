#include "runtime/prefix_cache.h"

#include <algorithm>
#include <bit>

#include "runtime/sequence.h"

namespace grok::runtime {

PrefixCache::PrefixCache(PagePool& pool)
    : pool_(pool),
      entries_(std::size_t(pool.num_pages())),
      buckets_(std::bit_ceil(std::size_t(pool.num_pages()) + 1), kNoPage) {
  pool.on_forget = [this](std::int32_t page) { remove(page); };
}

std::uint64_t PrefixCache::hash_after(std::int32_t parent, PageTokens tokens) const {
  std::uint64_t hash = parent == kNoPage ? 0 : entry(parent).hash;
  for (const std::int32_t token : tokens) hash = splitmix64(hash ^ std::uint64_t(std::uint32_t(token)));
  return hash;
}

std::int32_t PrefixCache::find(std::int32_t parent, PageTokens tokens) const {
  const std::uint64_t hash = hash_after(parent, tokens);
  std::int32_t page = buckets_[hash & (buckets_.size() - 1)];
  for (; page != kNoPage; page = entry(page).next_in_bucket) {
    const Entry& found = entry(page);
    if (found.hash == hash && found.parent == parent && std::equal(tokens.begin(), tokens.end(), found.tokens.begin()))
      break;
  }
  return page;
}

void PrefixCache::add(std::int32_t page, std::int32_t parent, PageTokens tokens, SequenceId computed_by) {
  const std::uint64_t hash = hash_after(parent, tokens);
  Entry& added = entry(page);
  added.is_known = true;
  added.computed_by = computed_by;
  added.parent = parent;
  added.hash = hash;
  std::copy(tokens.begin(), tokens.end(), added.tokens.begin());
  added.next_in_bucket = bucket(hash);
  bucket(hash) = page;
}

void PrefixCache::finish(std::int32_t page) {
  entry(page).is_finished = true;
  pool_.keep(page);
  ++num_finished_;
}

void PrefixCache::remove(std::int32_t page) {
  Entry& removed = entry(page);
  if (!removed.is_known) return;
  std::int32_t* link = &bucket(removed.hash);
  while (*link != page) link = &entry(*link).next_in_bucket;
  *link = removed.next_in_bucket;
  num_finished_ -= removed.is_finished;
  removed.is_known = removed.is_finished = false;
}

}  // namespace grok::runtime
