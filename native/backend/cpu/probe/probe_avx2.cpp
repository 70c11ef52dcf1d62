#if defined(__x86_64__)

#include <immintrin.h>

#include "backend/cpu/probe/probe_kernels.h"

namespace grok::cpu {
namespace {

using Vec = std::uint64_t __attribute__((vector_size(32)));
constexpr int kNumSums = 12;

#include "backend/cpu/probe/probe_kernels.inc"

struct F32 {
  using Register = __m256;
  static void apply(Register& sum, Register a, Register b) {
    asm volatile("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
  }
};

struct S16 {
  using Register = __m256i;
  static void apply(Register& sum, Register a, Register b) {
    Register product;
    asm volatile("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(product) : "x"(a), "x"(b));
  }
};

struct U8S8 {
  using Register = __m256i;
  static void apply(Register& sum, Register a, Register b) {
    Register product;
    asm volatile("vpmaddubsw %3, %2, %1\n\tvpmaddwd %2, %1, %1\n\tvpaddd %1, %0, %0"
                 : "+x"(sum), "=&x"(product)
                 : "x"(a), "x"(b));
  }
};

constexpr MultiplyAddLoop kLoops[] = {
    {"f32", kNumSums * 8, 0, run<F32>},
    {"s16 x s16", kNumSums * 16, 1, run<S16>},
    {"u8 x s8", kNumSums * 32, 0, run<U8S8>},
};

}  // namespace

const ProbeKernels kAvx2Probe = {"avx2", kReads, kLoops};

}  // namespace grok::cpu

#endif
