#define EMULATED_NVCC
#include <cuda_runtime.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <functional>

#include "emulator/check_kernel.h"
#include "testing.h"

using emulator::contains;
using emulator::Fault;

TEST("work of the device runs when the host waits, so a host buffer reused too soon becomes visible") {
  cudaStream_t stream;
  CHECK_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  void* device = nullptr;
  CHECK_EQ(cudaMalloc(&device, 4), cudaSuccess);
  CHECK(std::isnan(*static_cast<float*>(device)));  // fresh memory holds NaN
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

TEST("captured work runs when its graph is launched, each time, with the captured arguments") {
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

  // Waiting or allocating ends the capture.
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

TEST("a launch that no device would accept is refused") {
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

TEST("a write past the end of an allocation becomes visible, and under AddressSanitizer a read does, too") {
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
