#include "threads/idle_cores.h"

#include "platform/processor_time.h"

namespace grok::threads {

std::optional<double> IdleCores::since_last() {
  const std::optional<double> idle = platform::idle_seconds();
  const auto now = std::chrono::steady_clock::now();
  const double elapsed = std::chrono::duration<double>(now - time_).count();
  std::optional<double> mean;
  if (idle && idle_seconds_ && elapsed >= 0.01) mean = (*idle - *idle_seconds_) / elapsed;
  idle_seconds_ = idle;
  time_ = now;
  return mean;
}

}  // namespace grok::threads
