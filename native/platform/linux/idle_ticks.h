#pragma once

#include <functional>
#include <istream>
#include <optional>

namespace grok::platform {

// Idle ticks of the CPUs of `is_allowed`, in total, from the text of /proc/stat. None if no ticks at all were counted
// for them, as in some sandboxes.
std::optional<double> idle_ticks(std::istream& stat, const std::function<bool(int cpu)>& is_allowed);

}  // namespace grok::platform
