#pragma once

#include <chrono>
#include <optional>

namespace grok::threads {

// Mean number of idle cores among those that this process may use.
class IdleCores {
 public:
  IdleCores() { since_last(); }

  // Since the last call, or since construction. None if the system does not tell, or within 0.01 s, the system's
  // resolution.
  std::optional<double> since_last();

 private:
  std::optional<double> idle_seconds_;
  std::chrono::steady_clock::time_point time_;
};

}  // namespace grok::threads
