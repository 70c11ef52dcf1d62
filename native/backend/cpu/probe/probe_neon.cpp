#if defined(__aarch64__)

#include <arm_neon.h>

#include "backend/cpu/probe/probe_kernels.h"

namespace grok::cpu {
namespace {

using Vec = std::uint64_t __attribute__((vector_size(16)));
constexpr int kNumSums = 24;

#include "backend/cpu/probe/probe_kernels.inc"

struct F32 {
  using Register = float32x4_t;
  static void apply(Register& sum, Register a, Register b) {
    asm volatile("fmla %0.4s, %1.4s, %2.4s" : "+w"(sum) : "w"(a), "w"(b));
  }
};

struct S16 {
  using Register = int32x4_t;
  static void apply(Register& sum, Register a, Register b) {
    asm volatile("smlal %0.4s, %1.4h, %2.4h" : "+w"(sum) : "w"(a), "w"(b));
  }
};

struct S8 {
  using Register = int32x4_t;
  static void apply(Register& sum, Register a, Register b) {
    asm volatile(".arch armv8.2-a+dotprod\n\tsdot %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(a), "w"(b));
  }
};

constexpr MultiplyAddLoop kLoops[] = {
    {"f32", kNumSums * 4, 1, run<F32>},
    {"s16 x s16", kNumSums * 4, 0, run<S16>},
};

constexpr MultiplyAddLoop kDotprodLoops[] = {
    {"f32", kNumSums * 4, 0, run<F32>},
    {"s16 x s16", kNumSums * 4, 0, run<S16>},
    {"s8 x s8", kNumSums * 16, 3, run<S8>},
};

}  // namespace

const ProbeKernels kNeonProbe = {"neon", kReads, kLoops};
const ProbeKernels kNeonDotprodProbe = {"neon", kReads, kDotprodLoops};

}  // namespace grok::cpu

#endif
