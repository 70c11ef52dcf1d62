#pragma once

#include <cstddef>

namespace emulator {

// A stack of its own that runs a function until it asks to be left, and later goes on from there.
class Fiber {
 public:
  static constexpr std::size_t kStackBytes =
      256 * 1024;  // the frames of a kernel, unoptimised and under AddressSanitizer

  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // The next resume() calls entry(argument), whatever the stack held before. entry must never return: it ends in leave().
  void start(void (*entry)(void*), void* argument);
  // Runs the fiber until it calls leave().
  void resume();
  // From inside the fiber that runs: back to the caller of resume().
  static void leave();

 private:
  struct Context;
  Context* context_;
};

}  // namespace emulator
