#include "backend/cuda/probe.h"

#include <algorithm>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/device.h"
#include "backend/cuda/reduce.h"

namespace grok::cuda {
namespace {

constexpr std::size_t kStepVectors = kProbeStep / sizeof(uint4);

// Each thread writes every gridDim.x * kProbeThreads-th word.
__global__ void __launch_bounds__(kProbeThreads) fill_words(std::uint32_t* words, std::size_t num_words) {
  pdl_sync();
  for (std::size_t i = std::size_t(blockIdx.x) * kProbeThreads + threadIdx.x; i < num_words;
       i += std::size_t(gridDim.x) * kProbeThreads)
    words[i] = std::uint32_t(i) * 0x9e3779b1u;
}

// Each block reads every gridDim.x-th step, and each thread every kProbeThreads-th vector of it. Limited by memory:
// reads the buffer once.
__global__ void __launch_bounds__(kProbeThreads) read_steps(std::uint32_t* folded,  // [gridDim.x]
                                                            const uint4* from, std::size_t num_steps) {
  pdl_sync();
  uint4 all = make_uint4(0, 0, 0, 0);
  for (std::size_t step = blockIdx.x; step < num_steps; step += gridDim.x) {
    uint4 loaded[kProbeLoads];
#pragma unroll
    for (int i = 0; i < kProbeLoads; ++i)
      loaded[i] = load_once(from + step * kStepVectors + std::size_t(i) * kProbeThreads + threadIdx.x);
#pragma unroll
    for (int i = 0; i < kProbeLoads; ++i) {
      all.x ^= loaded[i].x;
      all.y ^= loaded[i].y;
      all.z ^= loaded[i].z;
      all.w ^= loaded[i].w;
    }
  }
  const auto exclusive_or = [](std::uint32_t a, std::uint32_t b) { return a ^ b; };
  const std::uint32_t of_block = block_reduce(all.x ^ all.y ^ all.z ^ all.w, exclusive_or);
  if (threadIdx.x == 0) folded[blockIdx.x] = of_block;
}

// Divided as above. Limited by memory: reads `from` and writes `to` once.
__global__ void __launch_bounds__(kProbeThreads) copy_steps(uint4* to, const uint4* from, std::size_t num_steps) {
  pdl_sync();
  for (std::size_t step = blockIdx.x; step < num_steps; step += gridDim.x) {
    uint4 loaded[kProbeLoads];
#pragma unroll
    for (int i = 0; i < kProbeLoads; ++i)
      loaded[i] = load_once(from + step * kStepVectors + std::size_t(i) * kProbeThreads + threadIdx.x);
#pragma unroll
    for (int i = 0; i < kProbeLoads; ++i)
      to[step * kStepVectors + std::size_t(i) * kProbeThreads + threadIdx.x] = loaded[i];
  }
}

LaunchConfig config_of(int num_blocks) { return {.blocks = unsigned(num_blocks), .threads = kProbeThreads}; }

}  // namespace

void fill_buffer(Stream& stream, const DeviceMemory& buffer, int num_blocks) {
  stream.launch("filling a buffer", config_of(num_blocks), fill_words, buffer.as<std::uint32_t>(),
                buffer.size_bytes() / sizeof(std::uint32_t));
}

void read_buffer(Stream& stream, std::uint32_t* folded, const DeviceMemory& buffer, int num_blocks) {
  stream.launch("reading a buffer", config_of(num_blocks), read_steps, folded, buffer.as<uint4>(),
                buffer.size_bytes() / kProbeStep);
}

void copy_half(Stream& stream, const DeviceMemory& buffer, int num_blocks) {
  const std::size_t half_bytes = buffer.size_bytes() / 2;
  stream.launch("copying a buffer", config_of(num_blocks), copy_steps,
                reinterpret_cast<uint4*>(buffer.as<std::byte>() + half_bytes), buffer.as<uint4>(),
                half_bytes / kProbeStep);
}

Probe run_probe(const ProbeOptions& options) {
  constexpr int kPasses = 10;     // before the host waits, since a launch takes as long as reading some megabytes
  constexpr int kBlocksEach = 4;  // per multiprocessor, so that all blocks run at once on every generation
  const DeviceTraits traits = usable_device();
  const std::uint64_t buffer_bytes = std::min(options.buffer_bytes, available_bytes() / 4);
  const std::uint64_t num_steps = std::max<std::uint64_t>(buffer_bytes / (2 * kProbeStep), 1) * 2;
  const int num_blocks =
      int(std::min<std::uint64_t>(std::uint64_t(traits.num_multiprocessors) * kBlocksEach, num_steps));
  Stream stream(false);
  const DeviceMemory buffer(num_steps * kProbeStep);
  const DeviceMemory folded(std::size_t(num_blocks) * sizeof(std::uint32_t));
  fill_buffer(stream, buffer, num_blocks);
  stream.synchronize();

  const auto bytes = double(kPasses) * double(buffer.size_bytes());
  const ProbeRate read = measure_rate(bytes, options.stopped, [&] {
    for (int pass = 0; pass < kPasses; ++pass) read_buffer(stream, folded.as<std::uint32_t>(), buffer, num_blocks);
    stream.synchronize();
  });
  const ProbeRate copy = measure_rate(bytes, options.stopped, [&] {
    for (int pass = 0; pass < kPasses; ++pass) copy_half(stream, buffer, num_blocks);
    stream.synchronize();
  });
  return {.device = concat(traits.name, ", compute capability ", traits.compute_major, ".", traits.compute_minor),
          .buffer_bytes = buffer.size_bytes(),
          .read = read,
          .copy = copy};
}

}  // namespace grok::cuda
