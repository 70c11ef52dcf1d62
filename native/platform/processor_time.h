#pragma once

#include <cstdint>
#include <optional>

namespace grok::platform {

// CPU time of this thread. On a system without such a clock, the elapsed time, as if the thread had never lost its
// core.
std::int64_t thread_nanoseconds();

// Idle time since boot of the CPUs that this process may use, in total. None if the system does not tell. It may
// advance in steps of 0.01 s.
std::optional<double> idle_seconds();

}  // namespace grok::platform
