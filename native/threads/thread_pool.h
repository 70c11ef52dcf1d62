#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "threads/active_threads.h"
#include "threads/idle_cores.h"

namespace grok::threads {

// A fixed set of threads for data-parallel loops. The caller is one of them.
class ThreadPool {
 public:
  // num_threads counts the caller; 1 starts none. There are fewer if the system refuses more.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return int(workers_.size()) + 1; }

  // Runs body(index) for each index in [0, count), in any order, and returns after all of them. A thread starts with
  // its own share, the same in each loop of that count, so that its caches still hold the data that it wrote in the
  // loop before. Then it helps the others. Indices are handed out one by one, so a thread that lost its core delays
  // only one of them. If that costs more than the thread contributes, it is left out for a while (active_threads.h).
  // The first exception is rethrown here. One loop runs at a time; never call it from inside a body.
  void parallel_for(std::size_t count, const std::function<void(std::size_t index)>& body);

 private:
  // A range of indices of a loop. Aligned so that threads that count in different shares do not share cache lines.
  struct alignas(64) Share {
    std::atomic<std::size_t> next{0};
    std::size_t end = 0;
  };
  struct Loop;
  ThreadPool() = default;
  void work(int thread);
  void keep(int num_threads);

  std::vector<std::thread> workers_;
  std::vector<Share> shares_;
  IdleCores idle_cores_;
  std::optional<ActiveThreads> active_;
  std::mutex mutex_;
  std::condition_variable wake_;
  Loop* loop_ = nullptr;                      // guarded by mutex_
  std::atomic<std::uint64_t> generation_{0};  // incremented when a loop starts or workers must end
  int num_sleeping_ = 0;                      // guarded by mutex_
  int num_kept_ = 0;                          // threads with this number or above end; guarded by mutex_
};

}  // namespace grok::threads
