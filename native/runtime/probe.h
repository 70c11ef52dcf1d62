#pragma once

#include <atomic>
#include <string>

#include "backend/cpu/probe/probe.h"
#include "backend/cuda/cuda.h"

namespace grok::runtime {

// Measures the limits of this machine. 0 threads: as many as an engine uses; "": the best instruction set. Throws
// invalid_argument, out_of_memory, and cancelled soon after `stopped` is set.
cpu::Probe probe_machine(int num_threads, const std::string& isa, const std::atomic<bool>& stopped);

// Measures the limits of the CUDA device's memory. Throws cuda_unavailable, out_of_memory, device_failed, and cancelled
// soon after `stopped` is set.
cuda::Probe probe_device(const std::atomic<bool>& stopped);

}  // namespace grok::runtime
