#define EMULATED_NVCC
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "emulator/check_kernel.h"
#include "emulator/device.h"
#include "testing.h"

using emulator::contains;
using emulator::fault_of;
using emulator::kSeeds;
using emulator::seeds_that_pass;
using namespace grok::cuda;

TEST("a barrier makes what one thread wrote known to another; without it, most orders of the threads are wrong") {
  struct Shared {
    int values[128];
  };
  std::vector<int> out(128);
  const auto neighbour = [&](bool has_barrier) {
    return [&out, has_barrier] {
      auto& shared = static_shared<Shared>();
      const unsigned thread = threadIdx.x;
      shared.values[thread] = int(thread) * 3;
      if (has_barrier) __syncthreads();
      out[thread] = shared.values[(thread + 64) % 128];
    };
  };
  const auto is_right = [&] {
    for (int thread = 0; thread < 128; ++thread)
      if (out[thread] != (thread + 64) % 128 * 3) return false;
    return true;
  };
  CHECK_EQ(seeds_that_pass(1, 128, neighbour(true), is_right), kSeeds);
  CHECK_EQ(seeds_that_pass(1, 128, neighbour(false), is_right), 0);
}

TEST("overwriting a value that others still read becomes visible") {
  struct Shared {
    int value;
  };
  std::vector<int> out(64);
  const auto broadcast_twice = [&](bool has_barrier) {
    return [&out, has_barrier] {
      auto& shared = static_shared<Shared>();
      if (threadIdx.x == 0) shared.value = 1;
      __syncthreads();
      out[threadIdx.x] = shared.value;
      if (has_barrier) __syncthreads();
      if (threadIdx.x == 0) shared.value = 10;
      __syncthreads();
      out[threadIdx.x] += shared.value;
    };
  };
  const auto is_right = [&] { return std::all_of(out.begin(), out.end(), [](int value) { return value == 11; }); };
  CHECK_EQ(seeds_that_pass(1, 64, broadcast_twice(true), is_right), kSeeds);
  CHECK(seeds_that_pass(1, 64, broadcast_twice(false), is_right) < kSeeds / 4);
}

TEST(
    "threads that wait at different barriers are reported with both lines, and so is a warp that leaves a lane "
    "behind") {
  // Outside of the macro, whose text is all on one line.
  const auto two_barriers = [] {
    if (threadIdx.x < 32)
      __syncthreads();
    else
      __syncthreads();
  };
  CHECK(contains(fault_of(64, two_barriers), "wait at different barriers: barriers.test.cpp:"));
  CHECK(contains(fault_of(32,
                          [] {
                            if (threadIdx.x != 7) __syncwarp();
                          }),
                 "__syncwarp"));
  CHECK(contains(fault_of(64,
                          [] {
                            if (threadIdx.x < 32)
                              __syncthreads();
                            else if (threadIdx.x == 40)
                              __syncwarp(0x300);
                            else
                              __syncwarp(0xffffffffu);
                          }),
                 "deadlock"));
  CHECK(contains(fault_of(32, [] { __syncwarp(0xffffu); }), "the mask leaves out the calling lane"));
  CHECK(contains(fault_of(16, [] { __syncwarp(); }), "never were"));
}

TEST("a barrier does not wait for threads that have returned") {
  int arrived = 0;
  emulator::run({}, {96, 1, 1}, 0, [&] {
    if (threadIdx.x >= 50) return;
    __syncthreads();
    ++arrived;
  });
  CHECK_EQ(arrived, 50);
}

TEST("shared memory holds NaN before it is written, and each block has its own") {
  struct Shared {
    float value;
  };
  int num_fresh = 0;
  std::vector<float> seen(8);
  emulator::run({8, 1, 1}, {32, 1, 1}, 16, [&] {
    auto& shared = static_shared<Shared>();
    if (threadIdx.x == 0) {
      num_fresh += std::isnan(shared.value) && std::isnan(dynamic_shared<float>()[3]);
      shared.value = float(blockIdx.x);
    }
    __syncwarp();
    if (threadIdx.x == 9) seen[blockIdx.x] = shared.value;
  });
  CHECK_EQ(num_fresh, 8);
  for (int block = 0; block < 8; ++block) CHECK_EQ(seen[block], float(block));
}

TEST_MAIN()
