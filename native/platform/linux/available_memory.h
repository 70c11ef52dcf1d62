#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace grok::platform {

// The lowest limit, in bytes, of the system, the memory cgroups of this process (a container) and its limits on address
// space and data (ulimit -v, ulimit -d). None: unknown. `root` is "/" except in tests.
std::optional<std::uint64_t> available_memory(const std::string& root);

}  // namespace grok::platform
