#include "threads/idle_cores.h"

#include <sched.h>

#include <chrono>

#include "testing.h"

using namespace grok::threads;
using namespace std::chrono_literals;

TEST("a core that works is not idle, and none is twice") {
  cpu_set_t allowed;
  CHECK_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
  const double num_cores = CPU_COUNT(&allowed);
  IdleCores cores;
  for (const auto start = std::chrono::steady_clock::now(); std::chrono::steady_clock::now() - start < 500ms;) {
  }
  const auto idle = cores.since_last();
  if (!idle) return;  // the system does not tell
  CHECK(*idle >= 0 && *idle < num_cores - 0.5);
}

TEST("reports nothing within the system's resolution") {
  const auto start = std::chrono::steady_clock::now();
  IdleCores cores;
  const auto idle = cores.since_last();
  if (std::chrono::steady_clock::now() - start < 10ms) CHECK(!idle);
}

TEST_MAIN()
