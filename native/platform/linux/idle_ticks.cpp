#include "platform/linux/idle_ticks.h"

#include <sstream>
#include <string>

namespace grok::platform {

// The lines: "cpu3 user nice system idle iowait irq ...", after one for all of them.
std::optional<double> idle_ticks(std::istream& stat, const std::function<bool(int cpu)>& is_allowed) {
  double idle = 0, all = 0;
  for (std::string line; std::getline(stat, line) && line.starts_with("cpu");) {
    std::istringstream fields(line.substr(3));
    int cpu;
    if (line[3] == ' ' || !(fields >> cpu) || !is_allowed(cpu)) continue;
    double ticks;
    for (int field = 0; fields >> ticks; ++field) {
      all += ticks;
      if (field == 3 || field == 4) idle += ticks;
    }
  }
  if (all == 0) return {};
  return idle;
}

}  // namespace grok::platform
