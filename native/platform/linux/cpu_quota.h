#pragma once

#include <optional>
#include <string>

namespace grok::platform {

// The smallest CPU quota of this process's groups, in cores; none: no limit. `root` is "/" except in tests.
std::optional<double> cpu_quota(const std::string& root = "/");

}  // namespace grok::platform
