#define EMULATED_NVCC
#include "emulator/emulator.h"

#include <cuda_runtime.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <numeric>
#include <vector>

#include "emulator/device.h"
#include "testing.h"

using namespace grok;
using namespace grok::cuda;
using emulator::Fault;

// That the emulator can fail: each rule of CUDA that our kernels live by, kept and broken.
namespace {

constexpr int kSeeds = 40;

// Runs the kernel under many orders of its threads; how many of them gave what was expected.
template <typename Kernel, typename Check>
int seeds_that_pass(unsigned num_blocks, unsigned num_threads, const Kernel& kernel, const Check& check) {
  int passed = 0;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    emulator::settings().seed = std::uint64_t(seed);
    emulator::run({num_blocks, 1, 1}, {num_threads, 1, 1}, 0, kernel);
    passed += check();
  }
  emulator::settings() = {};
  return passed;
}

std::string fault_of(unsigned num_threads, const std::function<void()>& kernel) {
  try {
    emulator::run({}, {num_threads, 1, 1}, 16, kernel);
  } catch (const Fault& fault) {
    return fault.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

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

TEST("a value that is overwritten while others still read it shows") {
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
  // Outside of the macro, whose text is all of one line.
  const auto two_barriers = [] {
    if (threadIdx.x < 32)
      __syncthreads();
    else
      __syncthreads();
  };
  CHECK(contains(fault_of(64, two_barriers), "wait at different barriers: emulator.test.cpp:"));
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

TEST("shared memory holds no number before it is written, and each block has its own") {
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

TEST("shuffles, votes and maxima follow the lanes") {
  emulator::run({}, {64, 1, 1}, 0, [] {
    const int lane = int(threadIdx.x) % 32;
    CHECK_EQ(__shfl_xor_sync(0xffffffffu, lane, 5), lane ^ 5);
    CHECK_EQ(__shfl_sync(0xffffffffu, lane, 3), 3);
    CHECK_EQ(__shfl_sync(0xffffffffu, lane, 3, 8), lane / 8 * 8 + 3);
    CHECK_EQ(__shfl_up_sync(0xffffffffu, lane, 4u), lane < 4 ? lane : lane - 4);
    CHECK_EQ(__shfl_down_sync(0xffffffffu, lane, 4u), lane > 27 ? lane : lane + 4);
    CHECK_EQ(__ballot_sync(0xffffffffu, lane % 3 == 0), 0x49249249u);
    CHECK_EQ(__reduce_max_sync(0xffffffffu, unsigned(lane * 5 % 32)), 31u);
    if (lane < 16) CHECK_EQ(__shfl_xor_sync(0xffffu, lane, 1), lane ^ 1);
  });
}

TEST("the matrix instruction multiplies by the lane maps of the PTX manual, and any other map is wrong") {
  std::int8_t a[16][32], b[32][8];
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < 32; ++k) a[row][k] = std::int8_t((row * 37 + k * 11) % 256 - 128);
  for (int k = 0; k < 32; ++k)
    for (int column = 0; column < 8; ++column) b[k][column] = std::int8_t((k * 29 + column * 53) % 256 - 128);

  enum class Mistake { none, halves_of_a_swapped, b_by_rows, c_transposed };
  const auto errors = [&](Mistake mistake) {
    int found[16][8] = {};
    emulator::run({}, {32, 1, 1}, 0, [&] {
      const int lane = int(threadIdx.x), group = lane / 4, place = lane % 4;
      const auto four = [](const auto& byte_at) {
        unsigned bytes = 0;
        for (int i = 0; i < 4; ++i) bytes |= unsigned(std::uint8_t(byte_at(i))) << (8 * i);
        return bytes;
      };
      unsigned left[4], right[2];
      for (int r = 0; r < 4; ++r) {
        const int half = mistake == Mistake::halves_of_a_swapped ? r / 2 : r % 2;
        const int other = mistake == Mistake::halves_of_a_swapped ? r % 2 : r / 2;
        left[r] = four([&](int i) { return a[group + 8 * half][4 * place + 16 * other + i]; });
      }
      for (int r = 0; r < 2; ++r)
        right[r] = four([&](int i) {
          return mistake == Mistake::b_by_rows ? b[lane % 32][(4 * r + i) % 8] : b[4 * place + 16 * r + i][group];
        });
      int c[4] = {};
      mma_s8(c, make_uint4(left[0], left[1], left[2], left[3]), make_uint2(right[0], right[1]));
      for (int r = 0; r < 4; ++r) {
        const int row = group + 8 * (r / 2), column = 2 * place + r % 2;
        if (mistake == Mistake::c_transposed)
          found[2 * group + r % 2][2 * place + r / 2] = c[r];
        else
          found[row][column] = c[r];
      }
    });
    int wrong = 0;
    for (int row = 0; row < 16; ++row)
      for (int column = 0; column < 8; ++column) {
        int expected = 0;
        for (int k = 0; k < 32; ++k) expected += int(a[row][k]) * int(b[k][column]);
        wrong += found[row][column] != expected;
      }
    return wrong;
  };
  CHECK_EQ(errors(Mistake::none), 0);
  CHECK(errors(Mistake::halves_of_a_swapped) > 100);
  CHECK(errors(Mistake::b_by_rows) > 100);
  CHECK(errors(Mistake::c_transposed) > 60);
}

TEST("an asynchronous copy has landed after the wait for it, and sooner only by luck") {
  alignas(16) const int from[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  int early = 0;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    emulator::settings().seed = std::uint64_t(seed);
    emulator::run({}, {1, 1, 1}, 64, [&] {  // reads the second group after the wait for the first
      int* to = dynamic_shared<int>();
      copy_async_16(to, from);
      copy_async_commit();
      copy_async_16(to + 4, from + 4);
      copy_async_commit();
      copy_async_wait<1>();
      CHECK_EQ(to[3], 4);
      early += to[7] == 8;
      copy_async_wait<0>();
      CHECK_EQ(to[7], 8);
    });
  }
  emulator::settings() = {};
  CHECK(early > 0 && early < kSeeds);
  CHECK(contains(fault_of(1, [&] { copy_async_16(dynamic_shared<int>(), from); }), "never waited for"));
  CHECK(contains(fault_of(1, [&] { copy_async_16(dynamic_shared<int>(), from + 1); }), "multiple of 16"));
}

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

TEST("another seed is another order, the same seed the same") {
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

TEST("what the device is asked to do is done when somebody waits, so a host buffer reused too soon shows") {
  cudaStream_t stream;
  CHECK_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  void* device = nullptr;
  CHECK_EQ(cudaMalloc(&device, 4), cudaSuccess);
  CHECK(std::isnan(*static_cast<float*>(device)));  // fresh memory holds no number
  int host = 1, back = 0;
  cudaMemcpyAsync(device, &host, 4, cudaMemcpyHostToDevice, stream);
  host = 2;
  cudaMemcpyAsync(&back, device, 4, cudaMemcpyDeviceToHost, stream);
  CHECK_EQ(back, 0);
  CHECK_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  CHECK_EQ(back, 2);
  cudaFree(device);
  cudaStreamDestroy(stream);
}

TEST("a launch that may begin early runs beside the one before, up to its wait; reading before the wait shows") {
  constexpr int kNumThreads = 256;
  std::vector<int> written(kNumThreads), read(kNumThreads);
  int num_early = 0;
  // How many orders give what was expected.
  const auto right = [&](bool lets_begin, bool waits_first) {
    const emulator::Launch launches[] = {{.grid = {2},
                                          .block = {kNumThreads / 2},
                                          .body =
                                              [&, lets_begin] {
                                                if (lets_begin) emulator::let_next_launch_begin();
                                                for (int time = 0; time < 5; ++time) __syncthreads();
                                                written[blockIdx.x * blockDim.x + threadIdx.x] = 7;
                                              }},
                                         {.grid = {1},
                                          .block = {kNumThreads},
                                          .body =
                                              [&, waits_first] {
                                                num_early += written[kNumThreads - 1 - threadIdx.x] != 7;
                                                if (waits_first) emulator::wait_for_launch_before();
                                                read[threadIdx.x] = written[kNumThreads - 1 - threadIdx.x];
                                                emulator::wait_for_launch_before();
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
  right(false, true);  // it then begins when those before have returned
  CHECK_EQ(num_early, 0);
}

TEST("a thread that returns and never waited for the launch before is reported where its launch may begin early") {
  emulator::Launch launch{.grid = {1}, .block = {32}, .body = [] {
                            if (threadIdx.x != 3) emulator::wait_for_launch_before();
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

TEST("what is captured is done when its graph is launched, each time, with the arguments that it had") {
  cudaStream_t stream;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  int sum = 0, by = 2;
  void (*const add)(int*, int) = [](int* to, int value) { *to += value; };
  const auto launch = [&] {
    cudaLaunchConfig_t config;
    config.stream = stream;
    CHECK_EQ(cudaLaunchKernelEx(&config, add, &sum, by), cudaSuccess);
  };
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  CHECK_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  launch();
  by = 5;
  launch();
  CHECK_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  CHECK_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  CHECK_EQ(cudaGraphDestroy(graph), cudaSuccess);
  by = 100;
  CHECK_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  CHECK_EQ(sum, 0);
  for (int time = 1; time <= 2; ++time) {
    CHECK_EQ(cudaGraphLaunch(executable, stream), cudaSuccess);
    CHECK_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    CHECK_EQ(sum, 7 * time);
  }

  // Waiting, and taking memory, end the capture.
  void* memory = nullptr;
  for (const auto& forbidden : {std::function([&] { return cudaStreamSynchronize(stream); }),
                                std::function([&] { return cudaMalloc(&memory, 16); })}) {
    CHECK_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    launch();
    CHECK_EQ(forbidden(), cudaErrorStreamCaptureUnsupported);
    CHECK_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    CHECK(!graph && !memory);
  }
  CHECK_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  CHECK_EQ(sum, 14);
  cudaGraphExecDestroy(executable);
  cudaStreamDestroy(stream);
  emulator::heal();
}

TEST("a launch that no device would take is refused") {
  cudaStream_t stream;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  void (*const kernel)(int) = [](int) {};
  const auto launch = [&](dim3 grid, unsigned threads, std::size_t shared_bytes) {
    cudaLaunchConfig_t config;
    config.gridDim = grid;
    config.blockDim = dim3(threads);
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream;
    return cudaLaunchKernelEx(&config, kernel, 1);
  };
  CHECK_EQ(launch(1, 32, 0), cudaSuccess);
  CHECK_EQ(launch(0, 32, 0), cudaErrorInvalidConfiguration);
  CHECK_EQ(launch(dim3(1, 65536), 32, 0), cudaErrorInvalidConfiguration);
  CHECK_EQ(launch(1, 1025, 0), cudaErrorInvalidConfiguration);
  CHECK_EQ(launch(1, 32, 50'000), cudaErrorInvalidConfiguration);
  CHECK_EQ(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 60'000), cudaSuccess);
  CHECK_EQ(launch(1, 32, 50'000), cudaSuccess);
  CHECK_EQ(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 240'000), cudaErrorInvalidValue);
  cudaStreamDestroy(stream);
  emulator::heal();
}

TEST("a write past the end of an allocation shows, and under AddressSanitizer a read does too") {
#if defined(__SANITIZE_ADDRESS__)
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    std::fclose(stderr);
    void* device = nullptr;
    cudaMalloc(&device, 64);
    volatile int sum = 0;
    emulator::run({}, {32, 1, 1}, 0, [&] { sum = sum + static_cast<int*>(device)[threadIdx.x]; });
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(!(WIFEXITED(status) && WEXITSTATUS(status) == 0));
#else
  void* device = nullptr;
  cudaMalloc(&device, 64);
  emulator::run({}, {1, 1, 1}, 0, [&] { static_cast<char*>(device)[64] = 0; });
  bool was_seen = false;
  try {
    emulator::allocated_bytes();
  } catch (const Fault& fault) {
    was_seen = contains(fault.what(), "past the end");
  }
  CHECK(was_seen);
  static_cast<unsigned char*>(device)[64] = 0xa5;
  cudaFree(device);
  std::printf("       SKIPPED: reads past the end, which only a build with AddressSanitizer sees\n");
#endif
}

TEST_MAIN()
