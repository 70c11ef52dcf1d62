#pragma once

#include <cstdint>
#include <string>

namespace grok {

// Bytes this process can still take before the kernel kills something: what /proc/meminfo calls available, or less where a
// memory cgroup (a container) says so; the largest number where neither can be read. `root` is "/" but in tests.
std::uint64_t available_memory(const std::string& root = "/");

}  // namespace grok
