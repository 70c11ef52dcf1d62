#include "platform/linux/idle_ticks.h"

#include <algorithm>
#include <initializer_list>
#include <sstream>

#include "testing.h"

using namespace grok::platform;

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

TEST_MAIN()
