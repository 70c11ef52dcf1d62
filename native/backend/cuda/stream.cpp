#include "backend/cuda/stream.h"

#include <exception>

#include "backend/cuda/cuda_error.h"

namespace grok::cuda {

Stream::Stream(bool launches_overlap) : launches_overlap_(launches_overlap) {
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
}

Stream::~Stream() { cudaStreamDestroy(stream_); }

void Stream::copy_to_device(void* device, const void* host, std::size_t size_bytes) {
  throw_if_failed();
  if (size_bytes > 0)
    check(cudaMemcpyAsync(device, host, size_bytes, cudaMemcpyHostToDevice, stream_), "copying to the device");
}

void Stream::copy_to_host(void* host, const void* device, std::size_t size_bytes) {
  throw_if_failed();
  if (size_bytes > 0)
    check(cudaMemcpyAsync(host, device, size_bytes, cudaMemcpyDeviceToHost, stream_), "copying from the device");
}

void Stream::clear(void* device, std::size_t size_bytes) {
  throw_if_failed();
  if (size_bytes > 0) check(cudaMemsetAsync(device, 0, size_bytes, stream_), "clearing device memory");
}

void Stream::synchronize() {
  throw_if_failed();
  check(cudaStreamSynchronize(stream_), "waiting for the device");
}

void Stream::record(Event& event) {
  throw_if_failed();
  if (!event.event_) check(cudaEventCreateWithFlags(&event.event_, cudaEventDisableTiming), "making an event");
  check(cudaEventRecord(event.event_, stream_), "recording an event");
}

void Stream::wait_for(const Event& event) {
  throw_if_failed();
  if (event.event_) check(cudaEventSynchronize(event.event_), "waiting for the device");
}

std::unique_ptr<GraphExec> Stream::capture(const std::function<void()>& body) {
  throw_if_failed();
  is_capturing_ = true;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  std::exception_ptr thrown;
  cudaError_t error = cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal);
  if (error == cudaSuccess) {
    try {
      body();
    } catch (...) {
      thrown = std::current_exception();
    }
    error = cudaStreamEndCapture(stream_, &graph);
  }
  if (error == cudaSuccess && !thrown) error = cudaGraphInstantiate(&executable, graph, 0);
  if (graph) cudaGraphDestroy(graph);
  is_capturing_ = false;
  if (error != cudaSuccess) cudaGetLastError();
  if (thrown) std::rethrow_exception(thrown);
  if (error != cudaSuccess)
    throw Error(ErrorCode::unsupported, concat("the CUDA device cannot capture launches: ", in_words(error)));
  return std::make_unique<GraphExec>(executable);
}

void Stream::replay(const GraphExec& graph) {
  throw_if_failed();
  check(cudaGraphLaunch(graph.executable(), stream_), "replaying a step");
}

void Stream::check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  const Error failure = device_failed(what, error);
  // An error during a capture does not affect the device.
  if (is_capturing_) throw Error(ErrorCode::unsupported, failure.what());
  failure_ = failure;
  throw failure;
}

void Stream::throw_if_failed() const {
  if (failure_) throw *failure_;
}

}  // namespace grok::cuda
