#pragma once

#include <cstddef>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulator {

// A stack of its own that runs a function until it hands over to another fiber, or back, and later goes on from there.
// What a switch needs of it lies in one line of the cache.
class alignas(64) Fiber {
 public:
  static constexpr std::size_t kStackBytes =
      256 * 1024;  // the frames of a kernel, unoptimised and under AddressSanitizer

  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // The fiber will begin with entry(), whatever its stack held before. entry must never return.
  void start(void (*entry)());
  // Runs it, and whichever fibers it hands over to, until one of them calls leave().
  void resume();
  // From inside a fiber: runs this one in its place.
  void take_over() { enter(); }
  // From inside a fiber: back to the caller of resume().
  static void leave();
  // It is next: its stack has most often left the nearest cache.
  void prefetch() const {
#if defined(__x86_64__)
    __builtin_prefetch(pointer_);
    __builtin_prefetch(static_cast<const char*>(pointer_) + 64);
#endif
  }

 private:
  struct Caller {};
  explicit Fiber(Caller) {}
  static void begin();
  void enter();
  void arrive();

  static Fiber caller_;  // what left for the first of the fibers
  static Fiber* running_;

#if defined(__x86_64__)
  void* pointer_ = nullptr;  // into the stack, of what is left there
#else
  ucontext_t registers_;
#endif
  const void* stack_ = nullptr;
  std::size_t size_bytes_ = 0;
  std::size_t top_ = 0;  // bytes of the stack that are used at most
  void (*entry_)() = nullptr;
  void* fake_stack_ = nullptr;  // AddressSanitizer's, beside it
};

}  // namespace emulator
