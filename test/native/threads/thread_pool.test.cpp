#include "testing.h"

#include <atomic>
#include <numeric>
#include <thread>
#include <vector>

#include "threads/thread_pool.h"

using namespace grok;
using namespace grok::threads;

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

TEST("each thread begins with its own share, and the others finish the share of a delayed one") {
  constexpr std::size_t kCount = 40;
  for (int repeat = 0; repeat < 3; ++repeat) {
    ThreadPool pool(2);
    std::vector<std::thread::id> threads(kCount);
    std::atomic<int> num_begun{0}, num_done{0};
    pool.parallel_for(kCount, [&](std::size_t index) {
      threads[index] = std::this_thread::get_id();
      if (index == 0 || index == kCount / 2) {
        ++num_begun;
        while (num_begun < 2) std::this_thread::yield();
        // The worker stays at its first index until all others are done.
        while (index > 0 && num_done < int(kCount) - 1) std::this_thread::yield();
      }
      ++num_done;
    });
    for (std::size_t index = 0; index < kCount; ++index)
      CHECK((threads[index] == std::this_thread::get_id()) == (index != kCount / 2));
  }
}

TEST_MAIN()
