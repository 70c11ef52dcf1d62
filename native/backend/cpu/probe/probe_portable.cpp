#include "backend/cpu/probe/probe_kernels.h"

namespace grok::cpu {
namespace {

using Vec = std::uint64_t __attribute__((vector_size(16)));
constexpr int kNumSums = 10;

#include "backend/cpu/probe/probe_kernels.inc"

// Multiplies and adds with two roundings, as in kernels_portable.cpp.
struct F32 {
  using Register = float __attribute__((vector_size(16)));
  static void apply(Register& sum, Register a, Register b) {
#if defined(__x86_64__)
    Register product = a;
    asm volatile("mulps %2, %1\n\taddps %1, %0" : "+x"(sum), "+x"(product) : "x"(b));
#elif defined(__aarch64__)
    Register product;
    asm volatile("fmul %1.4s, %2.4s, %3.4s\n\tfadd %0.4s, %0.4s, %1.4s" : "+w"(sum), "=&w"(product) : "w"(a), "w"(b));
#endif
  }
};

constexpr MultiplyAddLoop kLoops[] = {{"f32", kNumSums * 4, 1, run<F32>}};

}  // namespace

const ProbeKernels kPortableProbe = {"portable", kReads, kLoops};

}  // namespace grok::cpu
