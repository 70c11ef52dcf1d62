#if defined(__x86_64__)

#include <immintrin.h>

#include "backend/backend.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/packed_matrix.h"

namespace grok {
namespace {

constexpr int kWidth = 16;
using Vec = float __attribute__((vector_size(64)));
using IntVec = std::int32_t __attribute__((vector_size(64)));

inline Vec load_i8(const std::int8_t* from) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}

inline Vec load_bf16(const std::uint16_t* from) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }

#include "backend/cpu/kernels.inc"
// Builds on the one above.
#include "backend/cpu/attention_kernels.inc"

}  // namespace

const Kernels kAvx512Kernels = {"avx512", strip_product, page_attention, dot, gated_gelu};

}  // namespace grok

#endif
