#include "runtime/available_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>

namespace grok {
namespace {

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

// The number that a file consists of; none where it says "max", or cannot be read.
std::optional<std::uint64_t> number_in(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t number;
  if (file >> number) return number;
  return std::nullopt;
}

// The number after a name at the start of a line.
std::optional<std::uint64_t> number_after(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string word;
    std::uint64_t number;
    if (words >> word && word == name && words >> number) return number;
  }
  return std::nullopt;
}

// The names of the same three numbers in the two kinds of cgroup.
struct CgroupFiles {
  const char* mount;
  const char* limit;
  const char* usage;
  const char* reclaimable;  // in memory.stat: pages of files, given up on demand
};
constexpr CgroupFiles kVersion1{"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                "total_inactive_file"};
constexpr CgroupFiles kVersion2{"sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"};

std::uint64_t room_in(const std::string& folder, const CgroupFiles& files) {
  const auto limit = number_in(folder + "/" + files.limit);
  if (!limit) return kUnlimited;
  const std::uint64_t usage = number_in(folder + "/" + files.usage).value_or(0);
  const std::uint64_t reclaimable = number_after(folder + "/memory.stat", files.reclaimable).value_or(0);
  const std::uint64_t kept = usage - std::min(usage, reclaimable);
  return *limit - std::min(*limit, kept);
}

// A limit holds for all groups below it, so each folder from the process's own up to the mount counts. In a container the
// path may name folders that only the host sees; the mount itself is then the container's group.
std::uint64_t room_in_cgroups(const std::string& root) {
  std::uint64_t room = kUnlimited;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // "0::/path" or "4:memory,cpu:/path"
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool is_version_2 = controllers == ",,";
    if (!is_version_2 && controllers.find(",memory,") == std::string::npos) continue;

    const CgroupFiles& files = is_version_2 ? kVersion2 : kVersion1;
    const std::string mount = root + "/" + files.mount;
    std::string group = line.substr(second + 1);
    for (;;) {
      room = std::min(room, room_in(mount + group, files));
      if (group.empty() || group == "/") break;
      group.resize(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
    }
  }
  return room;
}

}  // namespace

std::uint64_t available_memory(const std::string& root) {
  const auto machine_kib = number_after(root + "/proc/meminfo", "MemAvailable:");
  return std::min(machine_kib ? *machine_kib * 1024 : kUnlimited, room_in_cgroups(root));
}

}  // namespace grok
