#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cuda/device_memory.h"
#include "backend/cuda/stream.h"

// The kernels that run_probe() times: reading and copying the device's memory front to back on all multiprocessors.
namespace grok::cuda {

inline constexpr int kProbeThreads = 256;
inline constexpr int kProbeLoads = 8;  // loads of 16 bytes that a thread has in flight
// Buffers, and their halves for copying, are multiples of the bytes that a block reads at once.
inline constexpr std::size_t kProbeStep = std::size_t(kProbeThreads) * kProbeLoads * 16;

// Word i becomes i times a large odd number, so that no two are equal.
void fill_buffer(Stream& stream, const DeviceMemory& buffer, int num_blocks);
// folded [num_blocks]: the exclusive or of all words that a block read.
void read_buffer(Stream& stream, std::uint32_t* folded, const DeviceMemory& buffer, int num_blocks);
// Copies the first half to the second.
void copy_half(Stream& stream, const DeviceMemory& buffer, int num_blocks);

}  // namespace grok::cuda
