#pragma once

#include <chrono>
#include <optional>

namespace grok::threads {

// How many of the cores that this process may use had nothing to run, in the mean, whoever wanted them.
class IdleCores {
 public:
  IdleCores() { since_last(); }

  // Since the last call, or since construction; none where the system does not tell, or within a hundredth of a second,
  // which is its unit.
  std::optional<double> since_last();

 private:
  std::optional<double> idle_seconds_;
  std::chrono::steady_clock::time_point time_;
};

}  // namespace grok::threads
