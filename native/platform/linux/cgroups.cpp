#include "platform/linux/cgroups.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>

namespace grok::platform {
namespace {

// A mounted hierarchy.
struct Mount {
  std::string folder;
  std::string group;  // the group at `folder`: "/", or a subtree in a container
  int version;
};

bool lists(const std::string& names, const std::string& name) {
  return ("," + names + ",").find("," + name + ",") != std::string::npos;
}

// Source: man 5 proc_pid_mountinfo. "30 24 0:26 /group /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu,cpuacct"
std::vector<Mount> mounts_of(const std::string& controller, const std::string& root) {
  std::vector<Mount> mounts;
  std::ifstream file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream text(line);
    const std::vector<std::string> words{std::istream_iterator<std::string>(text), {}};
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (dash - words.begin() < 6 || words.end() - dash < 4) continue;
    const std::string& type = dash[1];
    if (type == "cgroup2")
      mounts.push_back({root + words[4], words[3], 2});
    else if (type == "cgroup" && lists(dash[3], controller))
      mounts.push_back({root + words[4], words[3], 1});
  }
  // Without /proc, uses the usual places.
  if (mounts.empty()) mounts = {{root + "/sys/fs/cgroup", "/", 2}, {root + "/sys/fs/cgroup/" + controller, "/", 1}};
  return mounts;
}

// The path of the process's own group. Source: man 7 cgroups. "0::/path" for version 2, "4:cpu,cpuacct:/path" for
// version 1.
std::string own_group(const std::string& controller, int version, const std::string& root) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (version == 2 ? controllers.empty() : lists(controllers, controller)) return line.substr(second + 1);
  }
  return "";
}

}  // namespace

std::vector<Cgroup> cgroups_of(const std::string& controller, const std::string& root) {
  std::vector<Cgroup> groups;
  for (const Mount& mount : mounts_of(controller, root)) {
    std::string group = own_group(controller, mount.version, root);
    if ((group + "/").starts_with(mount.group + "/")) group.erase(0, mount.group.size());
    for (; group.size() > 1 && group.front() == '/'; group.resize(group.rfind('/')))
      groups.push_back({mount.folder + group, mount.version});
    groups.push_back({mount.folder, mount.version});
  }
  return groups;
}

}  // namespace grok::platform
