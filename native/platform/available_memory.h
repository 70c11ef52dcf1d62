#pragma once

#include <cstdint>
#include <optional>

namespace grok::platform {

// Bytes this process can still take: the least that the system and the limits of this process leave. None: the system
// tells nothing.
std::optional<std::uint64_t> available_memory();

}  // namespace grok::platform
