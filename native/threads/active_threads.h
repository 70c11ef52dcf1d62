#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <unordered_map>
#include <utility>

namespace grok::threads {

// How many threads of a pool take part while other processes use the cores, too. A thread that lost its core delays its
// loop by a time slice of the scheduler, milliseconds; fewer threads then finish sooner.
//
// While every thread gets its CPU time, all are used. Otherwise smaller counts are tried in turn, and the fastest is
// used for a while. All threads are tried again once cores were idle, or after some seconds, because the other process
// may have ended. Speed is the time of loops of the same kind. CPU time does not show it: if memory is the limit, a
// thread can have all of its CPU time and still add nothing.
class ActiveThreads {
 public:
  // idle_cores() returns the mean number of idle cores since its last call (idle_cores.h), or none. In that case all
  // threads are tried again after some time.
  ActiveThreads(int num_threads, std::function<std::optional<double>()> idle_cores)
      : num_threads_(num_threads), idle_cores_(std::move(idle_cores)), active_(num_threads), best_(num_threads) {}

  int count() const { return active_; }

  // Reports a loop that took wall_seconds, and whose bodies took work_seconds of CPU time over all threads. Loops of
  // one kind have about the same amount of work.
  void report(std::size_t kind, double wall_seconds, double work_seconds);

 private:
  struct Mean {
    double sum = 0;
    int count = 0;
  };

  void watch(std::size_t kind, double wall_seconds, double work_seconds);
  void search(std::size_t kind, double wall_seconds);
  void settle();
  bool is_worth_trying();

  static constexpr double kWindow = 0.02;    // seconds of loops between decisions
  static constexpr double kFirstWait = 0.1;  // seconds of loops until all are tried again
  static constexpr double kLongestWait = 4;  // even if no core is idle
  static constexpr double kLook = 0.2;       // seconds of loops between checks for idle cores

  const int num_threads_;
  const std::function<std::optional<double>()> idle_cores_;
  int active_;
  double wall_ = 0, work_ = 0;                 // in this window
  std::unordered_map<std::size_t, Mean> all_;  // seconds of each kind of loop, in the last window of all threads

  bool is_searching_ = false;
  // seconds that this window's loops would take with all threads, and seconds that they took
  double expected_ = 0, known_ = 0;
  int fewest_ = 1;         // end of the search
  int best_;               // best count of the search
  double best_speed_ = 1;  // relative to all threads
  int settled_before_ = 0;
  double wait_ = kFirstWait;  // seconds of loops for which the result is used at least
  // seconds for which it was used, and the time of the next check for idle cores
  double kept_ = kLongestWait, look_at_ = 0;
};

}  // namespace grok::threads
