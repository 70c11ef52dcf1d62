#include "runtime/page_pool.h"

#include <algorithm>
#include <random>
#include <set>
#include <utility>

#include "core/error.h"
#include "testing.h"

namespace grok::runtime {
namespace {

PageTable table_of(PagePool& pool, int num_pages) {
  PageTable table(pool, num_pages, 0);
  for (int index = 0; index < num_pages; ++index) table.take();
  return table;
}

TEST("refuses to reserve more pages than are available, and to take one that is not reserved") {
  PagePool pool(2);
  const PageTable table(pool, 1, 0);
  CHECK_ERROR(pool.reserve(2), ErrorCode::internal, "1 available pages, 2 were reserved");
  CHECK_EQ(pool.num_available(), 1);
  PagePool other(2);
  CHECK_ERROR(other.take(), ErrorCode::internal, "without a reservation");
}

TEST("a sequence of no tokens needs no page, and one more than a page needs two") {
  CHECK_EQ(pages_for(0), 0);
  CHECK_EQ(pages_for(1), 1);
  CHECK_EQ(pages_for(kPageSize), 1);
  CHECK_EQ(pages_for(kPageSize + 1), 2);
}

TEST("a table reserves all of its pages and takes them as they are used") {
  PagePool pool(4);
  {
    PageTable table(pool, 3, 0);
    CHECK_EQ(pool.num_available(), 1);
    CHECK_EQ(pool.num_unused(), 4);
    table.take();
    CHECK_EQ(pool.num_available(), 1);
    CHECK_EQ(pool.num_unused(), 3);
  }
  CHECK_EQ(pool.num_available(), 4);
  CHECK_EQ(pool.num_unused(), 4);
}

TEST("an empty table gives nothing back") {
  PagePool pool(1);
  { const PageTable none(pool, 0, 0); }
  { const PageTable never_used; }
  CHECK_EQ(pool.num_available(), 1);
}

TEST("pages come back when their table ends, and the lowest go out first again") {
  PagePool pool(4);
  const PageTable first = table_of(pool, 1);
  {
    const PageTable second = table_of(pool, 2);
    CHECK_EQ(second.pages()[0], 1);
    CHECK_EQ(second.pages()[1], 2);
    CHECK_EQ(pool.num_unused(), 1);
  }
  CHECK_EQ(pool.num_unused(), 3);
  const PageTable third = table_of(pool, 1);
  CHECK_EQ(third.pages()[0], 1);
}

TEST("a moved table gives its pages back once") {
  PagePool pool(3);
  {
    PageTable from = table_of(pool, 2);
    PageTable to = std::move(from);
    CHECK(!from.is_admitted());
    CHECK_EQ(to.pages().size(), 2u);
    CHECK_EQ(pool.num_unused(), 1);
  }
  CHECK_EQ(pool.num_unused(), 3);
}

TEST("a shared page comes back after its last use") {
  PagePool pool(2);
  PageTable first = table_of(pool, 1);
  {
    PageTable second(pool, 1, 1);
    second.share(first.pages()[0]);
    CHECK_EQ(pool.num_uses(0), 2);
    first = PageTable();
    CHECK_EQ(pool.num_unused(), 1);
  }
  CHECK_EQ(pool.num_unused(), 2);
}

TEST("a replaced page comes back, and the other is used once more") {
  PagePool pool(2);
  const PageTable first = table_of(pool, 1);
  PageTable second = table_of(pool, 1);
  second.replace(0, first.pages()[0]);
  CHECK_EQ(pool.num_uses(0), 2);
  CHECK_EQ(pool.num_uses(1), 0);
  CHECK_EQ(pool.num_unused(), 1);
}

TEST("kept pages are idle after their last use, and the longest idle loses its contents first") {
  PagePool pool(3);
  std::vector<std::int32_t> forgotten;
  pool.on_forget = [&](std::int32_t page) { forgotten.push_back(page); };
  for (int round = 0; round < 2; ++round) {
    const PageTable table = table_of(pool, 3);
    for (const std::int32_t page : table.pages()) pool.keep(page);
  }
  // The second round took all pages, and the last page of a sequence goes first.
  CHECK((forgotten == std::vector<std::int32_t>{2, 1, 0}));
  CHECK_EQ(pool.num_idle(), 3);
  CHECK_EQ(pool.num_available(), 3);
  const PageTable table = table_of(pool, 1);
  CHECK_EQ(forgotten.size(), 4u);
  CHECK_EQ(pool.num_idle(), 2);
}

// A model of the pool: sets of pages, and plain counts.
struct Model {
  std::vector<int> num_uses;
  std::set<std::int32_t> kept;
  std::vector<std::int32_t> idle;  // longest idle first
  int num_reserved = 0;

  void take(std::int32_t page) {
    const bool has_free = idle.size() + std::size_t(num_used()) < num_uses.size();
    if (has_free) {
      CHECK(std::find(idle.begin(), idle.end(), page) == idle.end());
    } else {
      CHECK_EQ(page, idle.front());
      idle.erase(idle.begin());
    }
    CHECK_EQ(num_uses[std::size_t(page)], 0);
    kept.erase(page);
    num_uses[std::size_t(page)] = 1;
    --num_reserved;
  }
  void share(std::int32_t page) {
    if (num_uses[std::size_t(page)]++ == 0) std::erase(idle, page);
  }
  void release(std::int32_t page) {
    if (--num_uses[std::size_t(page)] == 0 && kept.contains(page)) idle.push_back(page);
  }
  int num_used() const {
    return int(std::count_if(num_uses.begin(), num_uses.end(), [](int uses) { return uses > 0; }));
  }
};

struct ModelledTable {
  PageTable table;
  std::vector<std::int32_t> pages;
  int num_left = 0;  // pages that it may still take
};

TEST("random use agrees with a model: no page is lost, given twice, or forgotten while it is used") {
  std::mt19937 random(7);
  const auto below = [&](int limit) { return int(random() % unsigned(limit)); };
  for (int num_pages : {1, 2, 5, 16}) {
    PagePool pool(num_pages);
    Model model{.num_uses = std::vector<int>(std::size_t(num_pages), 0), .kept = {}, .idle = {}};
    pool.on_forget = [&](std::int32_t page) { CHECK_EQ(pool.num_uses(page), 0); };
    std::vector<ModelledTable> tables;
    for (int turn = 0; turn < 20'000; ++turn) {
      ModelledTable* const some = tables.empty() ? nullptr : &tables[std::size_t(below(int(tables.size())))];
      switch (below(6)) {
        case 0: {  // a new table, which first shares kept pages
          std::vector<std::int32_t> shared;
          int num_idle = 0;
          for (const std::int32_t page : model.kept)
            if (below(3) == 0) {
              shared.push_back(page);
              num_idle += model.num_uses[std::size_t(page)] == 0;
            }
          const int own = below(4);
          if (own + num_idle > pool.num_available()) break;
          ModelledTable made{
              .table = PageTable(pool, int(shared.size()) + own, int(shared.size())), .pages = shared, .num_left = own};
          for (const std::int32_t page : shared) {
            made.table.share(page);
            model.share(page);
          }
          model.num_reserved += own;
          tables.push_back(std::move(made));
          break;
        }
        case 1:
        case 2:
          if (!some || some->num_left == 0) break;
          some->table.take();
          --some->num_left;
          some->pages.push_back(some->table.pages().back());
          model.take(some->pages.back());
          break;
        case 3:
          if (!some || some->pages.empty()) break;
          pool.keep(some->pages.back());
          model.kept.insert(some->pages.back());
          break;
        case 4:
          if (!some || some->pages.empty() || tables[0].pages.empty()) break;
          {
            const std::int32_t other = tables[0].pages[0];
            some->table.replace(0, other);
            model.share(other);
            model.release(std::exchange(some->pages[0], other));
          }
          break;
        case 5:
          if (!some) break;
          for (auto page = some->pages.rbegin(); page != some->pages.rend(); ++page) model.release(*page);
          model.num_reserved -= some->num_left;
          std::swap(*some, tables.back());
          tables.pop_back();
          break;
      }
      for (std::int32_t page = 0; page < num_pages; ++page)
        CHECK_EQ(pool.num_uses(page), model.num_uses[std::size_t(page)]);
      CHECK_EQ(pool.num_idle(), int(model.idle.size()));
      CHECK_EQ(pool.num_unused(), num_pages - model.num_used());
      CHECK_EQ(pool.num_available(), pool.num_unused() - model.num_reserved);
      CHECK(pool.num_available() >= 0);
      for (const ModelledTable& table : tables)
        CHECK(
            std::equal(table.pages.begin(), table.pages.end(), table.table.pages().begin(), table.table.pages().end()));
    }
    tables.clear();
    CHECK_EQ(pool.num_available(), num_pages);
  }
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
