#if defined(__x86_64__)

#include "backend/cpu/kernels.h"

#include <immintrin.h>

#include "backend/backend.h"
#include "backend/cpu/packed_matrix.h"

namespace grok {
namespace {

constexpr int kWidth = 8;
using Vec = float __attribute__((vector_size(32)));
using IntVec = std::int32_t __attribute__((vector_size(32)));

inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }

#include "backend/cpu/kernels.inc"
#include "backend/cpu/product_s16.inc"
// Builds on the one above.
#include "backend/cpu/attention_kernels.inc"

}  // namespace

const Kernels kAvx2Kernels = {"avx2",  kS16Products, page_attention, dot, largest_magnitude,
                              highest, sum_of_exp,   gated_gelu};

}  // namespace grok

#endif
