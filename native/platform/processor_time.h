#pragma once

#include <cstdint>
#include <optional>

namespace grok::platform {

// Processor time that this thread has used. On a system without such a clock, the time that has passed: as if no core were
// ever taken away.
std::int64_t thread_nanoseconds();

// Time since boot for which the CPUs that this process may use had nothing to run, all together, whoever wanted them; none
// where the system does not tell. It may move on by hundredths of a second.
std::optional<double> idle_seconds();

}  // namespace grok::platform
