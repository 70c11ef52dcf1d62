#include "platform/processor_time.h"

#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <fstream>

#include "platform/linux/idle_ticks.h"

namespace grok::platform {

std::int64_t thread_nanoseconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * std::int64_t(1'000'000'000) + time.tv_nsec;
}

std::optional<double> idle_seconds() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return {};
  std::ifstream stat("/proc/stat");
  const auto ticks = idle_ticks(stat, [&](int cpu) { return cpu < CPU_SETSIZE && CPU_ISSET(cpu, &allowed); });
  if (!ticks) return {};
  return *ticks / double(sysconf(_SC_CLK_TCK));
}

}  // namespace grok::platform
