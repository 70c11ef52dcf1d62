#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <map>
#include <string>

#include "core/error.h"

namespace grok {

// How a kernel is spread out.
struct Spread {
  dim3 blocks = 1;
  int threads = 256;             // a block
  std::size_t shared_bytes = 0;  // dynamic, a block
};

// A point in what a stream was asked to do.
class Event {
 public:
  Event() = default;
  ~Event() {
    if (event_) cudaEventDestroy(event_);
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

 private:
  friend class Stream;
  cudaEvent_t event_ = nullptr;
};

// The order in which the device does what is asked of it. An error of the device stays: from then on every call is refused
// with what went wrong first, since nothing computed after it can be trusted.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  template <typename... Parameters, typename... Arguments>
  void launch(const char* what, const Spread& spread, void (*kernel)(Parameters...), const Arguments&... arguments) {
    if (spread.blocks.x == 0 || spread.blocks.y == 0 || spread.blocks.z == 0) return;
    throw_if_failed();
    if (spread.shared_bytes > kUnaskedSharedBytes &&
        most_shared_[reinterpret_cast<const void*>(kernel)] < spread.shared_bytes) {
      check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(spread.shared_bytes)), what);
      most_shared_[reinterpret_cast<const void*>(kernel)] = spread.shared_bytes;
    }
    cudaLaunchConfig_t config{};
    config.gridDim = spread.blocks;
    config.blockDim = dim3(unsigned(spread.threads));
    config.dynamicSmemBytes = spread.shared_bytes;
    config.stream = stream_;
    check(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...), what);
  }

  // `host` is pinned memory, and stays as it is until synchronize().
  void copy_to_device(void* device, const void* host, std::size_t size_bytes);
  void copy_to_host(void* host, const void* device, std::size_t size_bytes);
  void clear(void* device, std::size_t size_bytes);
  // Returns when all that was asked for is done.
  void synchronize();
  // The event is what was asked for so far.
  void record(Event& event);
  // Returns when that is done; at once for an event that was never recorded.
  void wait_for(const Event& event);

  // Throws unless the call succeeded.
  void check(cudaError_t error, const char* what);
  void throw_if_failed() const;

 private:
  static constexpr std::size_t kUnaskedSharedBytes = 48 * 1024;  // a kernel gets more only when it asks

  cudaStream_t stream_ = nullptr;
  std::map<const void*, std::size_t> most_shared_;  // bytes that each kernel was promised
  std::string failure_;                             // what went wrong first
};

}  // namespace grok
