#include "platform/usable_cores.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string>
#include <thread>

#include "core/error.h"
#include "platform/linux/cpu_quota.h"

namespace grok::platform {

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
