#include "threads/active_threads.h"

#include <algorithm>

namespace grok::threads {

void ActiveThreads::report(std::size_t kind, double wall_seconds, double work_seconds) {
  if (num_threads_ == 1) return;
  if (is_searching_)
    search(kind, wall_seconds);
  else if (active_ == num_threads_)
    watch(kind, wall_seconds, work_seconds);
  else if ((kept_ += wall_seconds) < look_at_)
    return;
  else if (kept_ >= kLongestWait || is_worth_trying())
    active_ = num_threads_;
  else
    look_at_ = kept_ + kLook;
}

// Trying more threads costs some hundredths of a second if other processes use their cores.
bool ActiveThreads::is_worth_trying() {
  constexpr double kIdle = 0.5;  // share of those cores
  const std::optional<double> idle = idle_cores_();
  return !idle || *idle > kIdle * (num_threads_ - active_);
}

void ActiveThreads::watch(std::size_t kind, double wall_seconds, double work_seconds) {
  constexpr double kUndisturbed = 0.9;  // share of the cores
  constexpr int kMostTried = 8;
  if (wall_ == 0) all_.clear();
  Mean& mean = all_[kind];
  mean.sum += wall_seconds;
  ++mean.count;
  wall_ += wall_seconds;
  work_ += work_seconds;
  kept_ += wall_seconds;
  if (wall_ < kWindow) return;
  const double cores = work_ / wall_;
  wall_ = work_ = 0;
  if (kept_ < wait_) return;
  if (cores > kUndisturbed * num_threads_) {
    settled_before_ = num_threads_;
    return;
  }
  is_searching_ = true;
  fewest_ = std::clamp(int(cores), std::max(1, num_threads_ - kMostTried), num_threads_ - 1);
  best_ = num_threads_;
  best_speed_ = 1;
  expected_ = known_ = 0;
  --active_;
}

void ActiveThreads::search(std::size_t kind, double wall_seconds) {
  constexpr double kBetter = 1.03;
  constexpr double kLongestWindow = 10 * kWindow;  // if only other kinds of loops ran
  wall_ += wall_seconds;
  if (const auto found = all_.find(kind); found != all_.end()) {
    expected_ += found->second.sum / found->second.count;
    known_ += wall_seconds;
  }
  if (known_ < kWindow && wall_ < kLongestWindow) return;
  if (const double speed = known_ > 0 ? expected_ / known_ : 0; speed > best_speed_ * kBetter) {
    best_ = active_;
    best_speed_ = speed;
  }
  expected_ = known_ = wall_ = 0;
  if (active_ > fewest_)
    --active_;
  else
    settle();
}

// Waits longer each time that the search has the same result.
void ActiveThreads::settle() {
  is_searching_ = false;
  wait_ = best_ == settled_before_ ? std::min(2 * wait_, kLongestWait) : kFirstWait;
  settled_before_ = best_;
  active_ = best_;
  kept_ = 0;
  look_at_ = wait_;
  idle_cores_();
}

}  // namespace grok::threads
