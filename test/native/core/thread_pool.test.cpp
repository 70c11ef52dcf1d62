#include "testing.h"

#include <atomic>
#include <numeric>
#include <vector>

#include "core/thread_pool.h"

using namespace grok;

TEST("rethrows the first exception where the loop was started, and goes on working") {
  for (const int num_threads : {1, 2, 4}) {
    ThreadPool pool(num_threads);
    CHECK_ERROR(pool.parallel_for(100,
                                  [](std::size_t index) {
                                    if (index == 40) throw Error(ErrorCode::io, "the fortieth");
                                  }),
                ErrorCode::io, "fortieth");
    std::atomic<int> count{0};
    pool.parallel_for(10, [&](std::size_t) { ++count; });
    CHECK_EQ(count.load(), 10);
  }
}

TEST("does nothing for an empty loop") {
  ThreadPool pool(3);
  pool.parallel_for(0, [](std::size_t) { throw Error(ErrorCode::internal, "called"); });
}

TEST("runs each index once, in thousands of loops of all lengths") {
  ThreadPool pool(4);
  for (std::size_t count = 0; count < 3000; ++count) {
    std::vector<int> visits(count % 70);
    pool.parallel_for(visits.size(), [&](std::size_t index) { ++visits[index]; });
    for (const int visited : visits) CHECK_EQ(visited, 1);
  }
}

TEST("counts at least one core") { CHECK(default_num_threads() >= 1); }

TEST_MAIN()
