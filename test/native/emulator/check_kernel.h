#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "emulator/emulator.h"

// Helpers of the emulator's own tests, which keep and break each rule of CUDA that our kernels rely on.
namespace emulator {

inline constexpr int kSeeds = 40;

// Runs the kernel under many orders of its threads, and returns how many of them gave the expected result.
template <typename Kernel, typename Check>
int seeds_that_pass(unsigned num_blocks, unsigned num_threads, const Kernel& kernel, const Check& check) {
  int passed = 0;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    settings().seed = std::uint64_t(seed);
    run({num_blocks, 1, 1}, {num_threads, 1, 1}, 0, kernel);
    passed += check();
  }
  settings() = {};
  return passed;
}

inline std::string fault_of(unsigned num_threads, const std::function<void()>& kernel) {
  try {
    run({}, {num_threads, 1, 1}, 16, kernel);
  } catch (const Fault& fault) {
    return fault.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace emulator
