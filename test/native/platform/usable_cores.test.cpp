#include "platform/usable_cores.h"

#include <sched.h>

#include "testing.h"

using namespace grok::platform;

TEST("counts at least one core, and no more than CPU affinity leaves") {
  CHECK(usable_cores() >= 1);
  cpu_set_t before, one;
  CHECK_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&one);
  for (int cpu = 0; CPU_COUNT(&one) == 0; ++cpu)
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  CHECK_EQ(usable_cores(), 1);
  sched_setaffinity(0, sizeof before, &before);
}

TEST_MAIN()
