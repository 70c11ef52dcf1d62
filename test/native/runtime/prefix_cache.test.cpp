#include "runtime/prefix_cache.h"

#include <array>
#include <map>
#include <random>

#include "testing.h"

namespace grok::runtime {
namespace {

constexpr std::int32_t kNoPage = PrefixCache::kNoPage;

std::array<std::int32_t, kPageSize> tokens_of(std::int32_t first) {
  std::array<std::int32_t, kPageSize> tokens = {};
  tokens[0] = first;
  return tokens;
}

TEST("a page is found by its tokens after the same page, and not otherwise") {
  PagePool pool(3);
  PrefixCache cache(pool);
  PageTable table(pool, 2, 0);
  table.take();
  table.take();
  const auto a = tokens_of(1), b = tokens_of(2);
  cache.add(0, kNoPage, a, 1);
  cache.add(1, 0, b, 1);
  CHECK_EQ(cache.find(kNoPage, a), 0);
  CHECK_EQ(cache.find(0, b), 1);
  CHECK_EQ(cache.find(kNoPage, b), kNoPage);
  CHECK_EQ(cache.find(0, a), kNoPage);
  CHECK_EQ(cache.find(1, b), kNoPage);
}

TEST("an unfinished page is forgotten after its last use, and a finished one is kept") {
  PagePool pool(2);
  PrefixCache cache(pool);
  const auto a = tokens_of(1), b = tokens_of(2);
  {
    PageTable table(pool, 2, 0);
    table.take();
    table.take();
    cache.add(0, kNoPage, a, 1);
    cache.add(1, 0, b, 1);
    CHECK(!cache.is_finished(0));
    cache.finish(0);
    CHECK(cache.is_finished(0));
    CHECK_EQ(cache.num_finished(), 1);
  }
  CHECK_EQ(cache.find(kNoPage, a), 0);
  CHECK_EQ(cache.find(0, b), kNoPage);
  CHECK_EQ(pool.num_idle(), 1);
  CHECK_EQ(cache.num_finished(), 1);
}

TEST("an evicted page is found no more") {
  PagePool pool(1);
  PrefixCache cache(pool);
  const auto a = tokens_of(1);
  {
    PageTable table(pool, 1, 0);
    table.take();
    cache.add(0, kNoPage, a, 1);
    cache.finish(0);
  }
  PageTable other(pool, 1, 0);
  other.take();
  CHECK_EQ(cache.find(kNoPage, a), kNoPage);
  CHECK_EQ(cache.num_finished(), 0);
}

TEST("random pages are found as a map finds them, with few buckets and many pages in each") {
  constexpr int kNumPages = 60;
  std::mt19937 random(3);
  PagePool pool(kNumPages);
  PrefixCache cache(pool);
  std::map<std::int32_t, PageTable> tables;  // a page each, by its first token
  for (int turn = 0; turn < 5000; ++turn) {
    const auto token = std::int32_t(random() % 200);
    const auto found = tables.find(token);
    CHECK_EQ(cache.find(kNoPage, tokens_of(token)), found == tables.end() ? kNoPage : found->second.pages()[0]);
    if (found != tables.end()) {
      tables.erase(found);
    } else if (int(tables.size()) < kNumPages) {
      PageTable table(pool, 1, 0);
      table.take();
      cache.add(table.pages()[0], kNoPage, tokens_of(token), 1);
      tables.emplace(token, std::move(table));
    }
  }
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
