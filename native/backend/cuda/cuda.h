#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "backend/backend.h"
#include "core/probe_rate.h"

// The public interface of the CUDA backend. It includes no CUDA header, so its users need none.
namespace grok::cuda {

struct Options {
  // Number of int8 limbs per activation and per embedding value. 2 limbs give 15 bits, 3 give 23 bits, relative to the
  // largest value nearby. Products of limbs and weights are exact either way. See backend/cuda/quantize.h.
  int num_limbs = 2;
  // Lets a kernel start and prefetch weights while its predecessor runs, on devices of compute capability 9.0 or
  // higher.
  bool launches_overlap = true;
};

// Throws cuda_unavailable with why_no_device(), or invalid_argument.
std::unique_ptr<Backend> make_backend(const Options& options);
// The memory requirements of that backend. Needs no device.
std::unique_ptr<Footprint> make_footprint(const Options& options);

// Why no device can be used, in a sentence; empty if one can.
std::string why_no_device();

// Bytes of the device's memory that are free now. Throws device_failed.
std::uint64_t available_bytes();

struct ProbeOptions {
  // much larger than the device's cache; at most a quarter of the free memory
  std::uint64_t buffer_bytes = 0;
  const std::atomic<bool>* stopped = nullptr;  // ends the probe with `cancelled` within about a tenth of a second
};

// The limits of the device's memory, with which the operations are compared.
struct Probe {
  std::string device;
  std::uint64_t buffer_bytes = 0;
  ProbeRate read;  // GB/s, front to back
  ProbeRate copy;  // GB/s from one half of the buffer to the other: bytes read plus bytes written
};

// Throws cuda_unavailable, out_of_memory, device_failed, cancelled.
Probe run_probe(const ProbeOptions& options);

}  // namespace grok::cuda
