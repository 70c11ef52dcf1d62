#pragma once

#include <optional>
#include <string>

namespace grok::platform {

// The smallest CPU quota of the groups of this process, in cores; none: no limit. `root` is "/" except in tests.
std::optional<double> cpu_quota(const std::string& root = "/");

}  // namespace grok::platform
