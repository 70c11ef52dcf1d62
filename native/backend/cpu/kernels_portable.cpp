#include "backend/cpu/kernels.h"

#if defined(__SSE4_1__)
#include <smmintrin.h>
#endif

#include "backend/backend.h"
#include "backend/cpu/packed_matrix.h"

namespace grok::cpu {
namespace {

// 128-bit vectors: every x86-64 and arm64 has them, and the compiler knows how.
constexpr int kWidth = 4;
using Vec = float __attribute__((vector_size(16)));
using IntVec = std::int32_t __attribute__((vector_size(16)));
using HalfVec = std::uint16_t __attribute__((vector_size(8)));
using ByteVec = std::int8_t __attribute__((vector_size(4)));

inline Vec load_i8(const std::int8_t* from) {
#if defined(__SSE4_1__)
  // Spelled out, since the compiler turns the conversion below into four scalar ones: four times slower.
  std::int32_t bytes;
  __builtin_memcpy(&bytes, from, sizeof bytes);
  return _mm_cvtepi32_ps(_mm_cvtepi8_epi32(_mm_cvtsi32_si128(bytes)));
#else
  ByteVec bytes;
  __builtin_memcpy(&bytes, from, sizeof bytes);
  return __builtin_convertvector(bytes, Vec);
#endif
}

inline Vec load_bf16(const std::uint16_t* from) {
#if defined(__SSE4_1__)
  const __m128i halves = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
  return _mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), halves));
#else
  HalfVec halves;
  __builtin_memcpy(&halves, from, sizeof halves);
  const IntVec bits = __builtin_convertvector(halves, IntVec) << 16;
  Vec value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
#endif
}

inline Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }

#include "backend/cpu/kernels.inc"
#include "backend/cpu/product_f32.inc"
// Builds on the one above.
#include "backend/cpu/attention_kernels.inc"

}  // namespace

const Kernels kPortableKernels = {"portable",        kF32Products, nullptr,    page_attention, dot,
                                  largest_magnitude, highest,      sum_of_exp, gated_gelu};

}  // namespace grok::cpu
