#pragma once

#include <cstdint>
#include <optional>

namespace grok::platform {

// Bytes that this process can still allocate: the lower of the system's and the process's own limits. None: unknown.
std::optional<std::uint64_t> available_memory();

}  // namespace grok::platform
