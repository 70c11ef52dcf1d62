#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "core/error.h"

namespace grok::cuda {

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

// Launches with their arguments, to be done again as one: what they find in memory is all that may differ.
class Recording {
 public:
  explicit Recording(cudaGraphExec_t executable) : executable_(executable) {}
  ~Recording() { cudaGraphExecDestroy(executable_); }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  cudaGraphExec_t executable() const { return executable_; }

 private:
  cudaGraphExec_t executable_;
};

// The order in which the device does what is asked of it. An error of the device stays: from then on every call is refused
// with what went wrong first, since nothing computed after it can be trusted.
class Stream {
 public:
  // `launches_overlap`: a kernel may begin while the one before still runs (device.h, wait_for_launch_before).
  explicit Stream(bool launches_overlap);
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
    cudaLaunchAttribute overlap;
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    config.attrs = &overlap;
    config.numAttrs = launches_overlap_;
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

  // Keeps what `ask` launches instead of doing it. Throws what `ask` throws, and unsupported if the device would not have it:
  // nothing has been done then, and the stream goes on.
  std::unique_ptr<Recording> record(const std::function<void()>& ask);
  void replay(const Recording& recording);

  // Throws unless the call succeeded.
  void check(cudaError_t error, const char* what);
  void throw_if_failed() const;

 private:
  static constexpr std::size_t kUnaskedSharedBytes = 48 * 1024;  // a kernel gets more only when it asks

  const bool launches_overlap_;
  cudaStream_t stream_ = nullptr;
  std::map<const void*, std::size_t> most_shared_;  // bytes that each kernel was promised
  std::optional<Error> failure_;                    // what went wrong first
  bool is_recording_ = false;
};

}  // namespace grok::cuda
