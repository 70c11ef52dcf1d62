#if defined(__x86_64__)

#include <immintrin.h>

#include "backend/cpu/probe/probe_kernels.h"

namespace grok::cpu {
namespace {

using Vec = std::uint64_t __attribute__((vector_size(64)));
constexpr int kNumSums = 24;

#include "backend/cpu/probe/probe_kernels.inc"

struct F32 {
  using Register = __m512;
  static void apply(Register& sum, Register a, Register b) {
    asm volatile("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  }
};

struct S16 {
  using Register = __m512i;
  static void apply(Register& sum, Register a, Register b) {
    asm volatile("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  }
};

struct U8S8 {
  using Register = __m512i;
  static void apply(Register& sum, Register a, Register b) {
    asm volatile("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  }
};

constexpr MultiplyAddLoop kLoops[] = {
    {"f32", kNumSums * 16, 0, run<F32>},
    {"s16 x s16", kNumSums * 32, 0, run<S16>},
    {"u8 x s8", kNumSums * 64, 2, run<U8S8>},
};

constexpr MultiplyAddLoop kLoopsAndTiles[] = {kLoops[0],
                                              kLoops[1],
                                              {"u8 x s8", kNumSums * 64, 0, run<U8S8>},
                                              {"u8 x s8 in tiles", kTileMacsPerRound, 2, run_tiles}};

}  // namespace

const ProbeKernels kAvx512Probe = {"avx512", kReads, kLoops};
const ProbeKernels kAmxProbe = {"amx", kReads, kLoopsAndTiles};

}  // namespace grok::cpu

#endif
