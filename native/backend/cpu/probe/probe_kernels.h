#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

// The loops that probe.cpp times, one table per instruction set.
namespace grok::cpu {

struct MultiplyAddLoop {
  const char* name;
  int macs_per_round;
  int per_product;  // instructions for one multiply-add of this ISA's products (kernels.h); 0: products do not use it
  // Uses enough independent sums in registers to hide the latency of the instruction.
  void (*run)(int num_rounds);
};

// Returns a value that depends on every byte. size_bytes is a multiple of kReadStep.
using ReadLoop = std::uint64_t (*)(const std::byte* from, std::size_t size_bytes);

struct ProbeKernels {
  const char* isa;
  std::span<const ReadLoop> reads;  // the fastest counts; which one that is depends on the CPU
  std::span<const MultiplyAddLoop> multiply_adds;
};

inline constexpr std::size_t kReadStep = 512;

extern const ProbeKernels kPortableProbe;
#if defined(__x86_64__)
extern const ProbeKernels kAvx2Probe;
extern const ProbeKernels kAvx512Probe;
extern const ProbeKernels kAmxProbe;  // AVX-512's loops, and tiles
// A round is half of a tile instruction, so that it takes as long as the others. Requires can_use_amx().
inline constexpr int kTileMacsPerRound = 16 * 16 * 64 / 2;
void run_tiles(int num_rounds);
#elif defined(__aarch64__)
extern const ProbeKernels kNeonProbe;         // without the dot product
extern const ProbeKernels kNeonDotprodProbe;  // with it
#endif

}  // namespace grok::cpu
