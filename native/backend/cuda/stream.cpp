#include "backend/cuda/stream.h"

namespace grok {

Stream::Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream"); }

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

void Stream::check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  failure_ =
      concat("the CUDA device failed at ", what, ": ", cudaGetErrorName(error), " (", cudaGetErrorString(error), ")");
  throw_if_failed();
}

void Stream::throw_if_failed() const {
  if (!failure_.empty())
    throw Error(ErrorCode::internal, failure_,
                "Nothing on this device can be trusted now: close the model and open it again "
                "in a new process.");
}

}  // namespace grok
