#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cuda/device_memory.h"
#include "backend/cuda/stream.h"

// What probe_cuda() takes the time of: the device's memory, read and copied front to back by all of its multiprocessors.
namespace grok::cuda {

inline constexpr int kProbeThreads = 256;
inline constexpr int kProbeLoads = 8;  // of 16 bytes, that a thread waits for at once
// Buffers, and halves of them for copying, are multiples of what a block takes at once.
inline constexpr std::size_t kProbeStep = std::size_t(kProbeThreads) * kProbeLoads * 16;

// Word i becomes i times a large odd number: no two are alike.
void fill_buffer(Stream& stream, const DeviceMemory& buffer, int num_blocks);
// folded [num_blocks]: the exclusive or of all words that a block read.
void read_buffer(Stream& stream, std::uint32_t* folded, const DeviceMemory& buffer, int num_blocks);
// The first half to the second.
void copy_half(Stream& stream, const DeviceMemory& buffer, int num_blocks);

}  // namespace grok::cuda
