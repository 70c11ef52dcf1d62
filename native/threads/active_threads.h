#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <unordered_map>
#include <utility>

namespace grok::threads {

// How many of a pool's threads should take part, while other processes want the cores too. A thread that lost its core
// holds up the loop that it is in for a slice of the scheduler, milliseconds; then fewer threads finish sooner.
//
// While all threads get their processor time, nothing is tried. When they do not, smaller counts are, one after the other,
// and the fastest is kept for a while: then all are tried again, since the neighbour may be gone, if cores have been idle
// meanwhile or some seconds have passed. Fast is what finishes loops of the same kind in less time; processor time does not
// tell, since where memory is the limit a thread can have plenty of it and help nothing.
class ActiveThreads {
 public:
  // idle_cores() tells how many were idle since it was last asked (idle_cores.h); where it tells nothing, threads are tried
  // again all the same.
  ActiveThreads(int num_threads, std::function<std::optional<double>()> idle_cores)
      : num_threads_(num_threads), idle_cores_(std::move(idle_cores)), active_(num_threads), best_(num_threads) {}

  int count() const { return active_; }

  // One loop took wall_seconds; its bodies took work_seconds of processor time, over all threads. Loops of one kind have
  // about as much to do.
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
  static constexpr double kLongestWait = 4;  // whether cores are idle or not
  static constexpr double kLook = 0.2;       // seconds of loops between looks for idle cores

  const int num_threads_;
  const std::function<std::optional<double>()> idle_cores_;
  int active_;
  double wall_ = 0, work_ = 0;                 // of this window
  std::unordered_map<std::size_t, Mean> all_;  // seconds of each kind of loop, in the last window of all threads

  bool is_searching_ = false;
  double expected_ = 0, known_ = 0;  // seconds that this window's loops took with all threads, and that they took
  int fewest_ = 1;                   // where the search ends
  int best_;                         // of the search
  double best_speed_ = 1;            // all threads: 1
  int settled_before_ = 0;
  double wait_ = kFirstWait;                  // seconds of loops that what was found is kept for at least
  double kept_ = kLongestWait, look_at_ = 0;  // seconds that it was kept for, and when to look for idle cores
};

}  // namespace grok::threads
