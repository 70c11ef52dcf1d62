#include "threads/active_threads.h"

#include <algorithm>
#include <optional>

#include "testing.h"

using namespace grok;
using namespace grok::threads;

namespace {

// A machine on which `neighbours` other processes keep cores busy. If our threads need all cores, each process takes a
// core from one of them. Loops then wait for that thread, which gets half of the core.
double cores_of(int active, int num_cores, int neighbours) {
  const int contended = std::max(0, std::min(neighbours, active + neighbours - num_cores));
  return contended == 0 ? active : active * 0.5;
}

const auto nobody_knows = [] { return std::optional<double>(); };

// Seconds of loops, each a millisecond of one core's work. Returns the mean number of cores' work.
double run(ActiveThreads& threads, int num_cores, int neighbours, double seconds) {
  int num_loops = 0;
  double time = 0;
  for (; time < seconds; ++num_loops) {
    const double wall = 1e-3 / cores_of(threads.count(), num_cores, neighbours);
    threads.report(7, wall, 1e-3);
    time += wall;
  }
  return num_loops * 1e-3 / time;
}

}  // namespace

TEST("all threads take part on a quiet machine, for ever") {
  ActiveThreads threads(8, nobody_knows);
  for (int i = 0; i < 100; ++i) {
    run(threads, 8, 0, 0.1);
    CHECK_EQ(threads.count(), 8);
  }
}

TEST("a pool of one stays one") {
  ActiveThreads threads(1, nobody_knows);
  threads.report(7, 10, 3);
  CHECK_EQ(threads.count(), 1);
}

TEST("loses almost nothing of the remaining cores when another process takes one") {
  for (const int num_cores : {2, 4, 8}) {
    ActiveThreads threads(num_cores, nobody_knows);
    run(threads, num_cores, 0, 1);
    run(threads, num_cores, 1, 1);
    CHECK(run(threads, num_cores, 1, 20) > 0.97 * (num_cores - 1));
  }
}

TEST("leaves cores to several other processes, one after the other") {
  ActiveThreads threads(8, nobody_knows);
  run(threads, 8, 3, 20);
  CHECK(run(threads, 8, 3, 20) > 0.95 * 5);
}

TEST("all threads take part again soon after the other process ended") {
  ActiveThreads threads(2, nobody_knows);
  run(threads, 2, 1, 30);
  run(threads, 2, 0, 5);
  CHECK_EQ(threads.count(), 2);
}

TEST("tries all threads every few seconds, not more often, while no core is idle") {
  ActiveThreads threads(4, [] { return std::optional(0.0); });
  run(threads, 4, 1, 0.1);
  CHECK_EQ(threads.count(), 3);
  double time = 0;
  for (; time < 20 && threads.count() == 3; time += 1e-3) threads.report(7, 1e-3, 3e-3);
  CHECK(time > 3.5 && time < 4.5);
  CHECK(run(threads, 4, 1, 20) > 0.99 * 3);
}

TEST("all threads take part again some tenths of a second after cores became idle, after any time") {
  double idle = 0.4;  // of the one that is left out
  ActiveThreads threads(4, [&] { return std::optional(idle); });
  run(threads, 4, 1, 3);
  CHECK_EQ(threads.count(), 3);
  idle = 1;
  run(threads, 4, 0, 0.3);
  CHECK_EQ(threads.count(), 4);
}

// Two threads get 1.6 cores of CPU time and finish no sooner for it.
TEST("leaves out a thread that gets CPU time and contributes nothing, within a tenth of a second") {
  ActiveThreads threads(2, nobody_knows);
  double time = 0, best = 0;
  for (int loop = 0; time < 0.8; ++loop) {
    const double all = loop % 5 == 0 ? 5e-3 : 1e-3;  // two kinds
    const double wall = threads.count() == 2 ? all : 0.85 * all;
    threads.report(loop % 5 == 0, wall, wall * (threads.count() == 2 ? 1.6 : 1.0));
    time += wall;
    best += 0.85 * all;
    if (time > 0.1 && time < 0.12) CHECK_EQ(threads.count(), 1);
  }
  CHECK(best / time > 0.97);
}

TEST("compares loops of the same kind") {
  ActiveThreads threads(2, nobody_knows);
  for (int loop = 0; loop < 30; ++loop) threads.report(1, 1e-3, 1.5e-3);
  CHECK_EQ(threads.count(), 1);
  for (int loop = 0; loop < 2000 && threads.count() == 1; ++loop) threads.report(2, 1e-5, 1e-5);  // short, but other
  for (int loop = 0; loop < 2000 && threads.count() == 1; ++loop) threads.report(1, 2e-3, 2e-3);
  CHECK_EQ(threads.count(), 2);
}

TEST(
    "work that is not shared out evenly, whatever the number of threads, does not leave them out one after the other") {
  ActiveThreads threads(64, nobody_knows);
  int num_loops = 0;
  double time = 0;
  for (; time < 20; ++num_loops) {
    const double wall = 1e-3 / (0.7 * threads.count());
    threads.report(7, wall, 1e-3);
    time += wall;
  }
  CHECK(num_loops * 1e-3 / time > 0.99 * 0.7 * 64);
}

TEST_MAIN()
