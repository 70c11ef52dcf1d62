#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "core/error.h"

namespace grok::cuda {

// Launch configuration of a kernel.
struct LaunchConfig {
  dim3 blocks = 1;
  int threads = 256;             // per block
  std::size_t shared_bytes = 0;  // dynamic shared memory per block
};

// A point in the work of a stream.
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

// An executable CUDA graph of launches with their arguments. A replay may differ only in the contents of memory.
class GraphExec {
 public:
  explicit GraphExec(cudaGraphExec_t executable) : executable_(executable) {}
  ~GraphExec() { cudaGraphExecDestroy(executable_); }
  GraphExec(const GraphExec&) = delete;
  GraphExec& operator=(const GraphExec&) = delete;
  cudaGraphExec_t executable() const { return executable_; }

 private:
  cudaGraphExec_t executable_;
};

// A CUDA stream: the device executes its work in order. An error of the device stays: every later call fails with the
// first error, because results computed after it cannot be trusted.
class Stream {
 public:
  // `launches_overlap`: a kernel may start while its predecessor runs (device.h, pdl_wait).
  explicit Stream(bool launches_overlap);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  template <typename... Parameters, typename... Arguments>
  void launch(const char* what, const LaunchConfig& config, void (*kernel)(Parameters...),
              const Arguments&... arguments) {
    if (config.blocks.x == 0 || config.blocks.y == 0 || config.blocks.z == 0) return;
    throw_if_failed();
    if (config.shared_bytes > kDefaultSharedBytes &&
        most_shared_[reinterpret_cast<const void*>(kernel)] < config.shared_bytes) {
      check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(config.shared_bytes)), what);
      most_shared_[reinterpret_cast<const void*>(kernel)] = config.shared_bytes;
    }
    cudaLaunchConfig_t cuda_config{};
    cuda_config.gridDim = config.blocks;
    cuda_config.blockDim = dim3(unsigned(config.threads));
    cuda_config.dynamicSmemBytes = config.shared_bytes;
    cuda_config.stream = stream_;
    cudaLaunchAttribute overlap;
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cuda_config.attrs = &overlap;
    cuda_config.numAttrs = launches_overlap_;
    check(cudaLaunchKernelEx(&cuda_config, kernel, Parameters(arguments)...), what);
  }

  // `host` is pinned memory and must not change until synchronize().
  void copy_to_device(void* device, const void* host, std::size_t size_bytes);
  void copy_to_host(void* host, const void* device, std::size_t size_bytes);
  void clear(void* device, std::size_t size_bytes);
  // Blocks until all work so far has finished.
  void synchronize();
  // The event marks all work so far.
  void record(Event& event);
  // Blocks until that work has finished; returns at once for an event that was never recorded.
  void wait_for(const Event& event);

  // Captures the launches made by `body` into a graph without running them. Rethrows exceptions of `body`; throws
  // unsupported if the capture fails. In both cases nothing ran and the stream stays usable.
  std::unique_ptr<GraphExec> capture(const std::function<void()>& body);
  void replay(const GraphExec& graph);

  // Throws unless the call succeeded.
  void check(cudaError_t error, const char* what);
  void throw_if_failed() const;

 private:
  static constexpr std::size_t kDefaultSharedBytes = 48 * 1024;  // available without a request

  const bool launches_overlap_;
  cudaStream_t stream_ = nullptr;
  std::map<const void*, std::size_t> most_shared_;  // bytes reserved for each kernel
  std::optional<Error> failure_;                    // the first error
  bool is_capturing_ = false;
};

}  // namespace grok::cuda
