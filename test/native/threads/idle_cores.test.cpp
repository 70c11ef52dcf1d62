#include "threads/idle_cores.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <initializer_list>
#include <sstream>

#include "testing.h"

using namespace grok;
using namespace grok::threads;
using namespace std::chrono_literals;

TEST("counts what was idle or waited for a disk, of the allowed CPUs alone") {
  const char* const text =
      "cpu  7 7 7 7777 7 7 7\ncpu0 1 2 3 400 50 6 0 0 0 0\ncpu1 1 2 3 9000 1 0 0 0 0 0\ncpu12 1 0 0 7 0 0 0 0 0 0\n"
      "intr 5 cpu0\ncpu0 1 1 1 1 1\n";
  const auto idle_of = [&](std::initializer_list<int> cpus) {
    std::istringstream stat(text);
    return idle_ticks(stat, [&](int cpu) { return std::find(cpus.begin(), cpus.end(), cpu) != cpus.end(); });
  };
  CHECK_EQ(*idle_of({0}), 450);
  CHECK_EQ(*idle_of({0, 12}), 457);
  CHECK(!idle_of({3}));
  std::istringstream zeros("cpu  0 0 0 0 0\ncpu0 0 0 0 0 0\n"), nothing("");
  CHECK(!idle_ticks(zeros, [](int) { return true; }));
  CHECK(!idle_ticks(nothing, [](int) { return true; }));
}

TEST("a core that works is not idle, and none is twice") {
  cpu_set_t allowed;
  CHECK_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
  const double num_cores = CPU_COUNT(&allowed);
  IdleCores cores;
  for (const auto start = std::chrono::steady_clock::now(); std::chrono::steady_clock::now() - start < 500ms;) {
  }
  const auto idle = cores.since_last();
  if (!idle) return;  // a system that does not tell
  CHECK(*idle >= 0 && *idle < num_cores - 0.5);
}

TEST("tells nothing of less time than the system counts") {
  const auto start = std::chrono::steady_clock::now();
  IdleCores cores;
  const auto idle = cores.since_last();
  if (std::chrono::steady_clock::now() - start < 10ms) CHECK(!idle);
}

TEST_MAIN()
