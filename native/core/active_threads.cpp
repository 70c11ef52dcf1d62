#include "core/active_threads.h"

#include <algorithm>

namespace grok {

void ActiveThreads::report(double wall_seconds, double work_seconds) {
  if (num_threads_ == 1) return;
  wall_ += wall_seconds;
  work_ += work_seconds;
  if (wall_ < kWindow) return;
  left_ -= wall_;
  decide(work_ / wall_);
  wall_ = work_ = 0;
}

void ActiveThreads::decide(double cores) {
  constexpr double kBetter = 1.03, kAlmostOne = 0.1;
  constexpr int kMostTried = 8;
  if (is_searching_) {
    if (cores > best_cores_ * kBetter) {
      best_ = active_;
      best_cores_ = cores;
    }
    if (active_ > fewest_)
      --active_;
    else
      settle();
  } else if (left_ > 0) {
    return;
  } else if (active_ < num_threads_) {
    active_ = num_threads_;  // its window decides
  } else if (cores < num_threads_ - 1 + kAlmostOne) {
    is_searching_ = true;
    fewest_ = std::clamp(int(cores), std::max(1, num_threads_ - kMostTried), num_threads_ - 1);
    best_ = num_threads_;
    best_cores_ = cores;
    --active_;
  }
}

// Longer each time that the search finds the same.
void ActiveThreads::settle() {
  is_searching_ = false;
  wait_ = best_ == settled_before_ ? std::min(2 * wait_, kLongestWait) : kFirstWait;
  settled_before_ = best_;
  active_ = best_;
  left_ = wait_;
}

}  // namespace grok
