#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <vector>

#include "core/error.h"

namespace grok {

// Rates of the repeats of a measurement, in 1e9 a second.
struct ProbeRate {
  double min = 0, median = 0, max = 0;
};

// Measures the rate of `body`, which does `work` units of work per call. Throws cancelled if `stopped` was set
// meanwhile.
template <typename Body>
ProbeRate measure_rate(double work, const std::atomic<bool>* stopped, const Body& body) {
  constexpr int kNumRepeats = 7;  // after one warm-up
  using Clock = std::chrono::steady_clock;
  std::vector<double> rates;
  for (int repeat = -1; repeat < kNumRepeats; ++repeat) {
    const Clock::time_point start = Clock::now();
    body();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (stopped && stopped->load(std::memory_order_relaxed)) throw Error(ErrorCode::cancelled, "the probe was stopped");
    if (repeat >= 0) rates.push_back(work / seconds * 1e-9);
  }
  std::sort(rates.begin(), rates.end());
  return {.min = rates.front(), .median = rates[rates.size() / 2], .max = rates.back()};
}

}  // namespace grok
