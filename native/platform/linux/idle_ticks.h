#pragma once

#include <functional>
#include <istream>
#include <optional>

namespace grok::platform {

// Ticks for which the CPUs of `is_allowed` were idle, all together, by the text of /proc/stat; none where nothing was
// counted for them at all, as in some sandboxes.
std::optional<double> idle_ticks(std::istream& stat, const std::function<bool(int cpu)>& is_allowed);

}  // namespace grok::platform
