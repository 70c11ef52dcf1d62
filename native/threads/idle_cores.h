#pragma once

#include <chrono>
#include <functional>
#include <istream>
#include <optional>

namespace grok::threads {

// Of the text of /proc/stat, the ticks for which the CPUs of `is_allowed` were idle, all together; none where nothing was
// counted for them at all, as in some sandboxes.
std::optional<double> idle_ticks(std::istream& stat, const std::function<bool(int cpu)>& is_allowed);

// How many of the cores that this process may use had nothing to run, in the mean, whoever wanted them.
class IdleCores {
 public:
  IdleCores() { since_last(); }

  // Since the last call, or since construction; none where the system does not tell (/proc/stat) or within a hundredth of a
  // second, which is its unit.
  std::optional<double> since_last();

 private:
  std::optional<double> idle_seconds_;
  std::chrono::steady_clock::time_point time_;
};

}  // namespace grok::threads
