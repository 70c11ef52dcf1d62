#pragma once

#include <atomic>
#include <string>

#include "backend/cpu/probe/probe.h"
#include "backend/cuda/cuda.h"

namespace grok::runtime {

// What this machine can do at most, measured now. 0 threads: as many as an engine would take; "" is the best
// instruction set. Throws invalid_argument, out_of_memory, and cancelled soon after `stopped` is set.
cpu::Probe probe_machine(int num_threads, const std::string& isa, const std::atomic<bool>& stopped);

// What the memory of the CUDA device can do at most. Throws cuda_unavailable, out_of_memory, device_failed, and
// cancelled soon after `stopped` is set.
cuda::CudaProbe probe_device(const std::atomic<bool>& stopped);

}  // namespace grok::runtime
