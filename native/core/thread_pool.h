#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

namespace grok {

// A fixed set of threads for data-parallel loops. The caller is one of them.
class ThreadPool {
 public:
  // num_threads counts the caller; 1 starts none.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return int(workers_.size()) + 1; }

  // Runs body(index) for each index in [0, count), in any order, and returns when all are done. Indices are handed out
  // one by one, so a thread that lost its core to a neighbour does not hold the others up. The first exception is
  // rethrown here. One loop at a time; never called from inside a body.
  void parallel_for(std::size_t count, const std::function<void(std::size_t index)>& body);

 private:
  struct Loop;
  void work();
  void take_part(Loop& loop);

  std::vector<std::thread> workers_;
  std::atomic<Loop*> loop_{nullptr};
  std::atomic<std::uint32_t> generation_{0};  // moves on when a loop starts, or the pool stops
  std::atomic<bool> stopping_{false};
};

// Cores this process may use: CPU affinity and the cgroup's quota respected, hyper-threads counted once.
int default_num_threads();

}  // namespace grok
