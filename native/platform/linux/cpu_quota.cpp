#include "platform/linux/cpu_quota.h"

#include <algorithm>
#include <fstream>

#include "platform/linux/cgroups.h"

namespace grok::platform {
namespace {

// Quota and period in microseconds: "150000 100000" in version 2, one file each in version 1. "max" or -1 is no limit.
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

}  // namespace grok::platform
