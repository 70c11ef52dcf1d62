#include "threads/idle_cores.h"

#include <sched.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

namespace grok::threads {
namespace {

// Since boot.
std::optional<double> idle_seconds() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return {};
  std::ifstream stat("/proc/stat");
  const auto ticks = idle_ticks(stat, [&](int cpu) { return cpu < CPU_SETSIZE && CPU_ISSET(cpu, &allowed); });
  if (!ticks) return {};
  return *ticks / double(sysconf(_SC_CLK_TCK));
}

}  // namespace

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

std::optional<double> IdleCores::since_last() {
  const std::optional<double> idle = idle_seconds();
  const auto now = std::chrono::steady_clock::now();
  const double elapsed = std::chrono::duration<double>(now - time_).count();
  std::optional<double> mean;
  if (idle && idle_seconds_ && elapsed >= 0.01) mean = (*idle - *idle_seconds_) / elapsed;
  idle_seconds_ = idle;
  time_ = now;
  return mean;
}

}  // namespace grok::threads
