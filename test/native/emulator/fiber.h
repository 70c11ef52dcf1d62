#pragma once

#include <cstddef>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulator {

// A separate stack that runs a function until it switches to another fiber, or back to its caller, and continues later.
// The data of a switch fits one cache line.
class alignas(64) Fiber {
 public:
  static constexpr std::size_t kStackBytes =
      256 * 1024;  // the frames of a kernel, unoptimised and under AddressSanitizer

  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // The fiber will begin with entry(), whatever its stack contained before. entry must never return.
  void start(void (*entry)());
  // Runs this fiber, and all fibers that it switches to, until one of them calls leave().
  void resume();
  // From inside a fiber: switches to this one.
  void take_over() { enter(); }
  // From inside a fiber: returns to the caller of resume().
  static void leave();
  // Prefetches the fiber that runs next: its stack has usually left L1.
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

  static Fiber caller_;  // context of resume()'s caller
  static Fiber* running_;

#if defined(__x86_64__)
  void* pointer_ = nullptr;  // into the stack, at the saved context
#else
  ucontext_t registers_;
#endif
  const void* stack_ = nullptr;
  std::size_t size_bytes_ = 0;
  std::size_t top_ = 0;  // maximum number of used bytes of the stack
  void (*entry_)() = nullptr;
  void* fake_stack_ = nullptr;  // AddressSanitizer's, beside it
};

}  // namespace emulator
