#define EMULATED_NVCC
#include <cuda_runtime.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "emulator/check_kernel.h"
#include "testing.h"

using emulator::contains;
using emulator::Fault;
using emulator::kSeeds;

TEST("blocks that wait for each other need to be alive together") {
  std::vector<int> arrived;
  volatile int flag = 0;
  const auto wait_for_last = [&] {
    if (blockIdx.x == 1) flag = 1;
    while (!flag) emulator::yield();
    arrived.push_back(int(blockIdx.x));
  };
  emulator::settings().resident_blocks = 2;
  emulator::run({2, 1, 1}, {1, 1, 1}, 0, wait_for_last);
  CHECK_EQ(arrived.size(), 2u);
  flag = 0;
  emulator::settings().resident_blocks = 1;
  CHECK(contains(
      [&]() -> std::string {
        try {
          emulator::run({2, 1, 1}, {1, 1, 1}, 0, wait_for_last);
        } catch (const Fault& fault) {
          return fault.what();
        }
        return "";
      }(),
      "spins"));
  emulator::settings() = {};
}

TEST("another seed gives another order, the same seed the same") {
  const auto order = [](std::uint64_t seed) {
    std::vector<unsigned> threads;
    emulator::settings().seed = seed;
    emulator::run({4, 1, 1}, {64, 1, 1}, 0, [&] { threads.push_back(blockIdx.x * 64 + threadIdx.x); });
    emulator::settings() = {};
    return threads;
  };
  CHECK(order(3) == order(3));
  CHECK(order(3) != order(4));
  std::vector<unsigned> in_order(256);
  std::iota(in_order.begin(), in_order.end(), 0u);
  CHECK(order(0) == in_order);
}

TEST("a launch that may begin early runs beside its predecessor; a read before its wait becomes visible") {
  constexpr int kNumThreads = 256;
  std::vector<int> written(kNumThreads), read(kNumThreads);
  int num_early = 0;
  // Number of orders that give the expected result.
  const auto right = [&](bool lets_begin, bool waits_first) {
    const emulator::Launch launches[] = {{.grid = {2},
                                          .block = {kNumThreads / 2},
                                          .body =
                                              [&, lets_begin] {
                                                if (lets_begin) emulator::pdl_trigger();
                                                for (int time = 0; time < 5; ++time) __syncthreads();
                                                written[blockIdx.x * blockDim.x + threadIdx.x] = 7;
                                              }},
                                         {.grid = {1},
                                          .block = {kNumThreads},
                                          .body =
                                              [&, waits_first] {
                                                num_early += written[kNumThreads - 1 - threadIdx.x] != 7;
                                                if (waits_first) emulator::pdl_wait();
                                                read[threadIdx.x] = written[kNumThreads - 1 - threadIdx.x];
                                                emulator::pdl_wait();
                                              },
                                          .may_begin_early = true}};
    int passed = 0;
    for (int seed = 1; seed <= kSeeds; ++seed) {
      std::fill(written.begin(), written.end(), 0);
      emulator::settings().seed = std::uint64_t(seed);
      emulator::run(launches);
      passed += std::all_of(read.begin(), read.end(), [](int value) { return value == 7; });
    }
    emulator::settings() = {};
    return passed;
  };
  CHECK_EQ(right(true, true), kSeeds);
  CHECK(num_early > 0);
  CHECK(right(true, false) < kSeeds / 4);
  num_early = 0;
  right(false, true);  // it then begins when its predecessors have returned
  CHECK_EQ(num_early, 0);
}

TEST("a thread of an early launch that returns without waiting for its predecessor is reported") {
  emulator::Launch launch{.grid = {1}, .block = {32}, .body = [] {
                            if (threadIdx.x != 3) emulator::pdl_wait();
                          }};
  emulator::run({&launch, 1});
  launch.may_begin_early = true;
  std::string fault;
  try {
    emulator::run({&launch, 1});
  } catch (const Fault& found) {
    fault = found.what();
  }
  CHECK(contains(fault, "thread (3, 0, 0): the thread returned and never waited for the launch before"));
}

TEST_MAIN()
