#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "backend/backend.h"
#include "core/probe_rate.h"

// What the CUDA backend shows to the rest of the house. No CUDA header: those who include it need none.
namespace grok::cuda {

struct CudaOptions {
  // int8 digits that an activation is split into, and a value of the embedding: 2 hold it to 15 bits of the largest one near
  // it, 3 to 23 bits. Products of digits and weights are exact either way. See backend/cuda/digits.h.
  int num_digits = 2;
  // Kernels may begin, and ask for weights, while the one before still runs, on devices that can (compute capability 9.0).
  bool launches_overlap = true;
};

// Throws cuda_unavailable with why_no_cuda_device(), or invalid_argument.
std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options);
// What that backend will take. Needs no device.
std::unique_ptr<Footprint> make_cuda_footprint(const CudaOptions& options);

// Why no device can be used, in a sentence; empty: one can.
std::string why_no_cuda_device();

// Bytes of the device's memory that are free now. Throws device_failed.
std::uint64_t cuda_available_bytes();

struct CudaProbeOptions {
  std::uint64_t buffer_bytes = 0;              // well beyond the device's cache; a quarter of what is free at most
  const std::atomic<bool>* stopped = nullptr;  // ends the probe with `cancelled` within a tenth of a second or so
};

// What the device's memory can do at most, to judge the operations by.
struct CudaProbe {
  std::string device;
  std::uint64_t buffer_bytes = 0;
  ProbeRate read;  // GB/s, front to back
  ProbeRate copy;  // GB/s, of one half of the buffer to the other: what is read and what is written together
};

// Throws cuda_unavailable, out_of_memory, device_failed, cancelled.
CudaProbe probe_cuda(const CudaProbeOptions& options);

}  // namespace grok::cuda
