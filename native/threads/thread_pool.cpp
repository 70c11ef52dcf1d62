#include "threads/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <system_error>
#include <typeinfo>

#include "platform/processor_time.h"

namespace grok::threads {
namespace {

// How long an idle worker polls for the next loop before it sleeps. Loops of one decode step follow each other within a
// few microseconds; waking a sleeping thread costs about fifty. The caller polls for the last workers as long.
constexpr int kSpins = 4000;
// Then the caller sleeps. A worker has lost its core to another process, and the scheduler moves it only to an idle
// core, not to one whose thread yields.
constexpr std::chrono::microseconds kNap{20};

inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

struct ThreadPool::Loop {
  const std::function<void(std::size_t)>& body;
  const std::span<Share> shares;      // one for each participating thread
  int seats = 0;                      // for workers; guarded by mutex_
  std::atomic<std::int64_t> work{0};  // nanoseconds in bodies, over all threads
  std::atomic<int> num_workers{0};    // that hold a pointer to this loop
  std::mutex failure_mutex;
  std::exception_ptr failure;

  // Thread 0 is the caller.
  void take_part(int thread) {
    const std::int64_t start = platform::thread_nanoseconds();
    for (std::size_t i = 0; i < shares.size(); ++i) {
      Share& share = shares[(std::size_t(thread) + i) % shares.size()];
      // Checked first: with many threads, each visits many empty shares.
      while (share.next.load(std::memory_order_relaxed) < share.end) {
        const std::size_t index = share.next.fetch_add(1, std::memory_order_relaxed);
        if (index >= share.end) break;
        try {
          body(index);
        } catch (...) {
          const std::lock_guard lock(failure_mutex);
          if (!failure) failure = std::current_exception();
          for (Share& every : shares) every.next.store(every.end, std::memory_order_relaxed);
        }
      }
    }
    work.fetch_add(platform::thread_nanoseconds() - start, std::memory_order_relaxed);
  }
};

// Members are constructed before the body, so the destructor ends the workers if it throws.
ThreadPool::ThreadPool(int num_threads) : ThreadPool() {
  shares_ = std::vector<Share>(std::size_t(num_threads));
  workers_.reserve(shares_.size() - 1);
  num_kept_ = num_threads;
  try {
    for (int worker = 1; worker < num_threads; ++worker) workers_.emplace_back([this, worker] { work(worker); });
  } catch (const std::system_error&) {
    // Node starts threads later, 4 for files and 1 for each worker, and aborts if those for files are refused.
    constexpr int kLeftToOthers = 8;
    keep(std::max(1, this->num_threads() - kLeftToOthers));
  }
  active_.emplace(this->num_threads(), [this] { return idle_cores_.since_last(); });
}

ThreadPool::~ThreadPool() { keep(1); }

// Ends all workers except the first num_threads - 1. The caller counts as the first thread.
void ThreadPool::keep(int num_threads) {
  {
    const std::lock_guard lock(mutex_);
    num_kept_ = num_threads;
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  for (; this->num_threads() > num_threads; workers_.pop_back()) workers_.back().join();
}

void ThreadPool::work(int thread) {
  for (std::uint64_t seen = 0;;) {
    for (int spin = 0; spin < kSpins && generation_.load(std::memory_order_acquire) == seen; ++spin) pause_cpu();

    Loop* loop;
    {
      std::unique_lock lock(mutex_);
      ++num_sleeping_;
      wake_.wait(lock, [&] { return generation_.load(std::memory_order_relaxed) != seen; });
      --num_sleeping_;
      seen = generation_.load(std::memory_order_relaxed);
      if (thread >= num_kept_) return;
      loop = loop_;  // null if the others have already finished it
      if (loop && loop->seats-- <= 0) loop = nullptr;
      if (loop) loop->num_workers.fetch_add(1, std::memory_order_relaxed);
    }
    if (!loop) continue;
    loop->take_part(thread);
    loop->num_workers.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::parallel_for(std::size_t count, const std::function<void(std::size_t)>& body) {
  if (workers_.empty() || count <= 1) {
    for (std::size_t index = 0; index < count; ++index) body(index);
    return;
  }
  const auto start = std::chrono::steady_clock::now();
  const std::span shares(shares_.data(), std::size_t(active_->count()));
  for (std::size_t i = 0; i < shares.size(); ++i) {
    shares[i].next.store(count * i / shares.size(), std::memory_order_relaxed);
    shares[i].end = count * (i + 1) / shares.size();
  }
  Loop loop{.body = body, .shares = shares, .seats = active_->count() - 1, .failure_mutex = {}, .failure = nullptr};
  bool any_sleeping = false;
  if (loop.seats > 0) {
    const std::lock_guard lock(mutex_);
    loop_ = &loop;
    generation_.fetch_add(1, std::memory_order_release);
    any_sleeping = num_sleeping_ > 0;
  }
  if (any_sleeping) wake_.notify_all();
  loop.take_part(0);
  if (active_->count() > 1) {
    const std::lock_guard lock(mutex_);
    loop_ = nullptr;  // from here on no other worker can join
  }
  for (int spin = 0; loop.num_workers.load(std::memory_order_acquire) > 0; ++spin)
    spin < kSpins ? pause_cpu() : std::this_thread::sleep_for(kNap);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  // Loops with the same body and the same count have about the same amount of work.
  active_->report(body.target_type().hash_code() + count, elapsed.count(),
                  double(loop.work.load(std::memory_order_relaxed)) * 1e-9);
  if (loop.failure) std::rethrow_exception(loop.failure);
}

}  // namespace grok::threads
