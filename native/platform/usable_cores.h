#pragma once

#include <optional>
#include <string>

namespace grok::platform {

// The smallest CPU quota of the groups of this process, in cores; none: no limit. `root` is "/" except in tests.
std::optional<double> cpu_quota(const std::string& root = "/");

// Cores this process may use: CPU affinity (which a cpuset sets) and CPU quota respected, hyper-threads counted once. At
// least 1.
int usable_cores();

}  // namespace grok::platform
