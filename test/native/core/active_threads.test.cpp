#include "core/active_threads.h"

#include <algorithm>

#include "testing.h"

using namespace grok;

namespace {

// A machine where `neighbours` other processes keep cores busy: each takes a core from one of our threads, if all cores are
// wanted, and loops then wait for that thread, which gets half of the core.
double cores_of(int active, int num_cores, int neighbours) {
  const int contended = std::max(0, std::min(neighbours, active + neighbours - num_cores));
  return contended == 0 ? active : active * 0.5;
}

// Seconds of loops, a millisecond each.
void run(ActiveThreads& threads, int num_cores, int neighbours, double seconds) {
  for (double time = 0; time < seconds; time += 1e-3)
    threads.report(1e-3, 1e-3 * cores_of(threads.count(), num_cores, neighbours));
}

// The mean number of cores' work over some seconds.
double work_of(ActiveThreads& threads, int num_cores, int neighbours, double seconds) {
  double work = 0;
  for (double time = 0; time < seconds; time += 1e-3) {
    const double cores = cores_of(threads.count(), num_cores, neighbours);
    threads.report(1e-3, 1e-3 * cores);
    work += cores * 1e-3;
  }
  return work / seconds;
}

}  // namespace

TEST("all threads take part on a quiet machine, for ever") {
  ActiveThreads threads(8);
  for (int i = 0; i < 100; ++i) {
    run(threads, 8, 0, 0.1);
    CHECK_EQ(threads.count(), 8);
  }
}

TEST("a pool of one stays one") {
  ActiveThreads threads(1);
  threads.report(10, 3);
  CHECK_EQ(threads.count(), 1);
}

TEST("loses next to nothing of what is left when a neighbour takes a core") {
  for (const int num_cores : {2, 4, 8}) {
    ActiveThreads threads(num_cores);
    run(threads, num_cores, 0, 1);
    run(threads, num_cores, 1, 1);
    CHECK(work_of(threads, num_cores, 1, 20) > 0.97 * (num_cores - 1));
  }
}

TEST("makes way for several neighbours, one after the other") {
  ActiveThreads threads(8);
  run(threads, 8, 3, 20);
  CHECK(work_of(threads, 8, 3, 20) > 0.95 * 5);
}

TEST("all threads take part again soon after the neighbour left") {
  ActiveThreads threads(2);
  run(threads, 2, 1, 30);
  run(threads, 2, 0, 5);
  CHECK_EQ(threads.count(), 2);
}

TEST(
    "work that is not shared out evenly, whatever the number of threads, does not leave them out one after the other") {
  ActiveThreads threads(64);
  double work = 0;
  for (int i = 0; i < 20'000; ++i) {
    const double cores = 0.7 * threads.count();
    threads.report(1e-3, 1e-3 * cores);
    work += cores * 1e-3;
  }
  CHECK(work / 20 > 0.99 * 0.7 * 64);
}

TEST_MAIN()
