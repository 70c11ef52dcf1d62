#pragma once

namespace grok {

// How many of a pool's threads should take part, while other processes want the cores too. A thread that lost its core
// holds up the loop that it is in for a slice of the scheduler, milliseconds; then fewer threads finish sooner.
//
// What counts is the work done a second: processor time spent in loop bodies over the time that the loops took, in cores.
// When all threads together do no more than one fewer could do undisturbed, smaller counts are tried, one after the other,
// and the best one is kept for a while: then all are tried again, since the neighbour may be gone.
class ActiveThreads {
 public:
  explicit ActiveThreads(int num_threads) : num_threads_(num_threads), active_(num_threads), best_(num_threads) {}

  int count() const { return active_; }

  // One loop took wall_seconds; its bodies took work_seconds of processor time, over all threads.
  void report(double wall_seconds, double work_seconds);

 private:
  void decide(double cores);
  void settle();

  static constexpr double kWindow = 0.02;    // seconds of loops between decisions
  static constexpr double kFirstWait = 0.5;  // seconds of loops until all are tried again
  static constexpr double kLongestWait = 4;

  const int num_threads_;
  int active_;
  double wall_ = 0, work_ = 0;  // of this window

  bool is_searching_ = false;
  int fewest_ = 1;  // where the search ends
  int best_;        // of the search
  double best_cores_ = 0;
  int settled_before_ = 0;
  double wait_ = kFirstWait, left_ = 0;  // seconds that this count is kept, and that are left of them
};

}  // namespace grok
