#pragma once

#include <string>
#include <vector>

namespace grok::platform {

// A folder of the cgroup file system whose limits apply to this process.
struct Cgroup {
  std::string folder;
  int version;  // 1 or 2
};

// The groups of this process in the hierarchy of `controller` ("cpu", "memory"): its own first, then each parent up to
// the mount. Version 1 and version 2 may both be mounted. A folder need not exist: a container may see the path of the
// host, while its own group is at the mount. `root` is "/" except in tests.
std::vector<Cgroup> cgroups_of(const std::string& controller, const std::string& root = "/");

}  // namespace grok::platform
