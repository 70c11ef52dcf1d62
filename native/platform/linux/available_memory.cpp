#include "platform/linux/available_memory.h"

#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "platform/available_memory.h"
#include "platform/linux/cgroups.h"

namespace grok::platform {
namespace {

using Bytes = std::optional<std::uint64_t>;  // none: unknown, or no limit

// Version 1 writes "no limit" as 2^63 minus a page.
constexpr std::uint64_t kNoLimit = std::uint64_t(1) << 62;

Bytes smaller(Bytes a, Bytes b) { return a && b ? std::min(*a, *b) : a ? a : b; }

std::uint64_t saturating_sub(std::uint64_t a, std::uint64_t b) { return a - std::min(a, b); }

// The number in a file; none if it says "max" or cannot be read.
Bytes number_in(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t number;
  if (file >> number) return number;
  return {};
}

// The number after a name at the start of a line.
Bytes number_after(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string word;
    std::uint64_t number;
    if (words >> word && word == name && words >> number) return number;
  }
  return {};
}

Bytes room_in_machine(const std::string& root) {
  if (const Bytes kib = number_after(root + "/proc/meminfo", "MemAvailable:")) return *kib * 1024;
  struct sysinfo machine;  // without /proc; it does not tell how much of the page cache can be freed
  if (sysinfo(&machine) != 0) return {};
  return (std::uint64_t(machine.freeram) + machine.bufferram) * machine.mem_unit;
}

// Above memory.high the kernel slows the group down until it hardly progresses, so memory.high counts as a limit.
Bytes room_in(const Cgroup& group) {
  const auto file = [&](const char* name) { return group.folder + "/" + name; };
  const bool is_v2 = group.version == 2;
  // In version 1 the parent groups may be invisible; memory.stat has the lowest of their limits.
  const Bytes limit = is_v2 ? smaller(number_in(file("memory.max")), number_in(file("memory.high")))
                            : smaller(number_in(file("memory.limit_in_bytes")),
                                      number_after(file("memory.stat"), "hierarchical_memory_limit"));
  if (limit.value_or(kNoLimit) >= kNoLimit) return {};
  const std::uint64_t usage = number_in(file(is_v2 ? "memory.current" : "memory.usage_in_bytes")).value_or(0);
  // Pages of files are freed on demand.
  const char* const reclaimable = is_v2 ? "inactive_file" : "total_inactive_file";
  return saturating_sub(*limit, saturating_sub(usage, number_after(file("memory.stat"), reclaimable).value_or(0)));
}

Bytes room_in_cgroups(const std::string& root) {
  Bytes room;
  for (const Cgroup& group : cgroups_of("memory", root)) room = smaller(room, room_in(group));
  return room;
}

Bytes room_under(decltype(RLIMIT_AS) resource, std::uint64_t used_pages) {
  rlimit limit;
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return {};
  return saturating_sub(limit.rlim_cur, used_pages * std::uint64_t(sysconf(_SC_PAGESIZE)));
}

// Source: man 5 proc_pid_statm, whose columns are size resident shared text lib data dt, in pages.
Bytes room_in_limits(const std::string& root) {
  std::uint64_t size = 0, resident, shared, text, lib, data = 0;
  std::ifstream(root + "/proc/self/statm") >> size >> resident >> shared >> text >> lib >> data;
  return smaller(room_under(RLIMIT_AS, size), room_under(RLIMIT_DATA, data));
}

}  // namespace

std::optional<std::uint64_t> available_memory(const std::string& root) {
  return smaller(room_in_machine(root), smaller(room_in_cgroups(root), room_in_limits(root)));
}

std::optional<std::uint64_t> available_memory() { return available_memory("/"); }

}  // namespace grok::platform
