#include "runtime/cache_manager.h"

#include <algorithm>
#include <vector>

namespace grok::runtime {
namespace {

PageTokens page_tokens(const Sequence& sequence, int index) {
  return std::span(sequence.tokens).subspan(std::size_t(index) * kPageSize).first<kPageSize>();
}

// The page before the one at `index`.
std::int32_t parent_of(const Sequence& sequence, int index) {
  return index == 0 ? PrefixCache::kNoPage : sequence.pages.pages()[std::size_t(index) - 1];
}

// A sequence shares pages unless it needs the logits of its prompt, for which it must compute every token.
bool shares_pages(const Sequence& sequence) { return sequence.request.prompt_outputs == PromptOutputs::none; }

}  // namespace

CacheManager::CacheManager(int num_pages, bool shares_prefixes) : pool_(num_pages) {
  if (shares_prefixes) prefix_.emplace(pool_);
}

bool CacheManager::admit(SequenceId id, Sequence& sequence) {
  const bool shares = prefix_ && shares_pages(sequence);
  // Whole pages but for the last token, whose logits draw the next.
  const int num_whole = shares ? (int(sequence.tokens.size()) - 1) / kPageSize : 0;
  std::vector<std::int32_t> found;
  int num_idle = 0;
  while (int(found.size()) < num_whole) {
    const std::int32_t parent = found.empty() ? PrefixCache::kNoPage : found.back();
    const std::int32_t page = prefix_->find(parent, page_tokens(sequence, int(found.size())));
    if (page == PrefixCache::kNoPage) break;
    num_idle += pool_.num_uses(page) == 0;
    found.push_back(page);
  }

  const int num_pages = pages_for(sequence.max_size());
  if (num_pages - int(found.size()) + num_idle > pool_.num_available()) return false;
  sequence.pages = PageTable(pool_, num_pages, int(found.size()));
  for (const std::int32_t page : found) sequence.pages.share(page);
  for (int index = int(found.size()); index < num_whole; ++index) {
    sequence.pages.take();
    prefix_->add(sequence.pages.pages().back(), parent_of(sequence, index), page_tokens(sequence, index), id);
  }
  sequence.num_known_pages = num_whole;
  return true;
}

int CacheManager::computable_tokens(SequenceId id, Sequence& sequence,
                                    const std::function<bool(SequenceId)>& is_active) {
  const std::span<const std::int32_t> pages = sequence.pages.pages();
  int index = sequence.num_cached / kPageSize;
  for (; index < sequence.num_known_pages && prefix_->is_finished(pages[std::size_t(index)]); ++index) {
    const int end = (index + 1) * kPageSize;
    num_reused_tokens_ += std::uint64_t(end - sequence.num_cached);
    sequence.num_cached = end;
  }
  for (; index < sequence.num_known_pages; ++index) {
    const std::int32_t page = pages[std::size_t(index)];
    const SequenceId computed_by = prefix_->computed_by(page);
    if (computed_by == id) continue;
    if (is_active(computed_by)) return std::max(0, index * kPageSize - sequence.num_cached);
    prefix_->compute_by(page, id);
  }
  return sequence.tokens_left();
}

void CacheManager::grow(Sequence& sequence, int num_tokens) {
  while (int(sequence.pages.pages().size()) < pages_for(sequence.num_cached + num_tokens)) sequence.pages.take();
}

void CacheManager::advance(SequenceId id, Sequence& sequence, int num_tokens) {
  const int first = sequence.num_cached / kPageSize;
  sequence.num_cached += num_tokens;
  if (!prefix_ || !shares_pages(sequence)) return;
  for (int index = first; (index + 1) * kPageSize <= sequence.num_cached; ++index) {
    if (index < sequence.num_known_pages)
      prefix_->finish(sequence.pages.pages()[std::size_t(index)]);
    else if (index == sequence.num_known_pages)
      publish(id, sequence, index);
  }
}

// Enters a page that was not known when the sequence was admitted: its tokens were generated, or end the prompt.
void CacheManager::publish(SequenceId id, Sequence& sequence, int index) {
  const std::int32_t parent = parent_of(sequence, index);
  const PageTokens tokens = page_tokens(sequence, index);
  const std::int32_t known = prefix_->find(parent, tokens);
  if (known == PrefixCache::kNoPage) {
    const std::int32_t page = sequence.pages.pages()[std::size_t(index)];
    prefix_->add(page, parent, tokens, id);
    prefix_->finish(page);
  } else if (prefix_->is_finished(known)) {
    sequence.pages.replace(index, known);
  } else {
    return;  // another sequence computes it; later pages stay private
  }
  ++sequence.num_known_pages;
}

void CacheManager::release(Sequence& sequence) {
  sequence.pages = PageTable();
  sequence.num_known_pages = 0;
  sequence.num_cached = 0;
}

}  // namespace grok::runtime
