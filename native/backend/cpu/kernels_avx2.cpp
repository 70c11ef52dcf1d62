#if defined(__x86_64__)

#include "backend/cpu/kernels.h"

#include <immintrin.h>

#include "backend/backend.h"
#include "backend/cpu/packed_matrix.h"

namespace grok::cpu {
namespace {

constexpr int kWidth = 8;
using Vec = float __attribute__((vector_size(32)));
using IntVec = std::int32_t __attribute__((vector_size(32)));

inline Vec load_i8(const std::int8_t* from) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}

inline Vec load_bf16(const std::uint16_t* from) {
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }

#include "backend/cpu/kernels.inc"
#include "backend/cpu/product_s16.inc"
// Builds on the one above.
#include "backend/cpu/attention_kernels.inc"

}  // namespace

const Kernels kAvx2Kernels = {"avx2",  kS16Products, nullptr,   page_attention, dot, largest_magnitude,
                              highest, sum_of_exp,   gated_gelu};

}  // namespace grok::cpu

#endif
