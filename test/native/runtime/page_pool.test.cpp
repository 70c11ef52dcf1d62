#include "runtime/page_pool.h"

#include <set>
#include <utility>

#include "core/error.h"
#include "testing.h"

namespace grok::runtime {
namespace {

TEST("refuses to hand out more pages than are free") {
  PagePool pool(2);
  const PageLease lease = pool.lease(1);
  CHECK_ERROR(pool.lease(2), ErrorCode::internal, "1 free pages, 2 were taken");
  CHECK_EQ(pool.num_free(), 1);
}

TEST("a sequence of no tokens needs no page, and one more than a page needs two") {
  CHECK_EQ(pages_for(0), 0);
  CHECK_EQ(pages_for(1), 1);
  CHECK_EQ(pages_for(kPageSize), 1);
  CHECK_EQ(pages_for(kPageSize + 1), 2);
}

TEST("an empty lease gives nothing back") {
  PagePool pool(1);
  { const PageLease none = pool.lease(0); }
  { const PageLease never_used; }
  CHECK_EQ(pool.num_free(), 1);
}

TEST("pages come back when their lease ends, and the lowest go out first again") {
  PagePool pool(4);
  const PageLease first = pool.lease(1);
  {
    const PageLease second = pool.lease(2);
    CHECK_EQ(second.pages()[0], 1);
    CHECK_EQ(second.pages()[1], 2);
    CHECK_EQ(pool.num_free(), 1);
  }
  CHECK_EQ(pool.num_free(), 3);
  const PageLease third = pool.lease(1);
  CHECK_EQ(third.pages()[0], 1);
}

TEST("a moved lease gives its pages back once") {
  PagePool pool(3);
  {
    PageLease from = pool.lease(2);
    PageLease to = std::move(from);
    CHECK_EQ(to.pages().size(), 2u);
    CHECK_EQ(pool.num_free(), 1);
  }
  CHECK_EQ(pool.num_free(), 3);
}

TEST("leases never share a page") {
  PagePool pool(8);
  const PageLease first = pool.lease(3), second = pool.lease(5);
  std::set<std::int32_t> pages(first.pages().begin(), first.pages().end());
  pages.insert(second.pages().begin(), second.pages().end());
  CHECK_EQ(pages.size(), 8u);
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
