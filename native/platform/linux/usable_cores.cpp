#include "platform/usable_cores.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "core/error.h"
#include "platform/linux/cgroups.h"

namespace grok::platform {
namespace {

// Quota and period in microseconds: "150000 100000" in version 2, a file for each in version 1. "max" or -1 is no limit.
std::optional<double> quota_of(const Cgroup& group) {
  double quota = -1, period = 0;
  if (group.version == 2) {
    std::ifstream(group.folder + "/cpu.max") >> quota >> period;
  } else {
    std::ifstream(group.folder + "/cpu.cfs_quota_us") >> quota;
    std::ifstream(group.folder + "/cpu.cfs_period_us") >> period;
  }
  if (quota > 0 && period > 0) return quota / period;
  return {};
}

}  // namespace

std::optional<double> cpu_quota(const std::string& root) {
  std::optional<double> smallest;
  for (const Cgroup& group : cgroups_of("cpu", root))
    if (const auto quota = quota_of(group)) smallest = std::min(*quota, smallest.value_or(*quota));
  return smallest;
}

int usable_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  int num_cores = 0;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
    std::set<std::string> cores;  // by the list of their hyper-threads
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &allowed)) continue;
      std::string siblings;
      std::ifstream(concat("/sys/devices/system/cpu/cpu", cpu, "/topology/thread_siblings_list")) >> siblings;
      cores.insert(siblings.empty() ? concat("cpu", cpu) : siblings);
    }
    num_cores = int(cores.size());
  }
  if (num_cores == 0) num_cores = int(std::thread::hardware_concurrency());
  if (const auto quota = cpu_quota()) num_cores = std::min(num_cores, int(*quota));
  return std::max(1, num_cores);
}

}  // namespace grok::platform
