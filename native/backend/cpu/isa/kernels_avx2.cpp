#if defined(__x86_64__)

#include "backend/cpu/isa/kernels.h"

#include <immintrin.h>

#include "backend/backend.h"
#include "backend/cpu/layout/packed_matrix.h"

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

#include "backend/cpu/isa/kernels.inc"
// Uses the definitions of kernels.inc.
#include "backend/cpu/isa/attention_kernels.inc"

// Products with 16-bit activations and one scale per token. The rounding error is 3e-5, and float32 would need twice as
// many instructions.

void pack_s16(const PackActivations& op) {
  const float inverse = op.scale > 0 ? 1 / op.scale : 0;
  for (int chunk = 0; chunk * kChunkRows < op.num_rows; ++chunk) {
    std::int16_t out[kChunkRows] = {};
    const int first = chunk * kChunkRows, num_rows = smaller(kChunkRows, op.num_rows - first);
    for (int row = 0; row < num_rows; ++row)
      out[row] = std::int16_t(_mm_cvtss_si32(_mm_set_ss(op.x[first + row] * inverse)));
    __builtin_memcpy(op.out + (std::size_t(chunk) * op.num_tokens + op.token) * sizeof out, out, sizeof out);
  }
}

// sum += a * b, in assembly: otherwise the compiler moves the broadcasts out of the loop and spills the sums.
inline void multiply_add(__m256i& sum, __m256i a, __m256i b) {
  __m256i product;
  asm("vpmaddwd %2, %1, %0" : "=x"(product) : "x"(a), "x"(b));
  asm("vpaddd %1, %0, %0" : "+x"(sum) : "x"(product));
}

// Tokens of one pass. Three would need one sum more than the registers hold.
constexpr int kTokensAtOnce = 2;

// Multiplies kHalves halves of a strip by kTokens tokens. Each pair of rows has its own sum: the lanes are column 0
// rows 01, 23, then column 1. The loops are unrolled so that the sums stay in registers, as in kernels_avx512.cpp.
template <int kTokens, int kHalves, bool kPrefetches = false>
void accumulate_s16(const StripProduct& op, int first_half, int first_token) {
  constexpr int kVectors = kHalf / 4, kChunkQuads = kChunkRows / kQuad;
  __m256i sums[kTokens][kHalves][kVectors] = {};
  const std::int8_t* weights = op.weights + first_half * kHalf * kQuad;
  const std::uint8_t* x = op.x + first_token * kChunkRows * 2;
  const int passes_each = (op.num_tokens + kTokensAtOnce - 1) / kTokensAtOnce;  // passes over each half
  NextLines next(op, first_half * passes_each + first_token / kTokensAtOnce, 2 * passes_each);
  for (int quads_left = op.num_quads; quads_left > 0; quads_left -= kChunkQuads) {
    const int num_quads = smaller(kChunkQuads, quads_left);
    for (int quad = 0; quad < num_quads; ++quad, weights += kStrip * kQuad, x += kQuad * 2) {
      if (kPrefetches) next.prefetch();
      __m256i activations[kTokens];
#pragma GCC unroll 4
      for (int token = 0; token < kTokens; ++token) {
        long long four;
        __builtin_memcpy(&four, x + token * kChunkRows * 2, sizeof four);
        activations[token] = _mm256_set1_epi64x(four);
      }
#pragma GCC unroll 4
      for (int half = 0; half < kHalves; ++half)
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          const auto* four_columns = reinterpret_cast<const __m128i*>(weights + (half * kHalf + v * 4) * kQuad);
          const __m256i weight = _mm256_cvtepi8_epi16(_mm_loadu_si128(four_columns));
#pragma GCC unroll 4
          for (int token = 0; token < kTokens; ++token) multiply_add(sums[token][half][v], weight, activations[token]);
        }
    }
    x += (op.num_tokens - 1) * kChunkRows * 2;
  }

#pragma GCC unroll 4
  for (int token = 0; token < kTokens; ++token)
#pragma GCC unroll 4
    for (int half = 0; half < kHalves; ++half)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; v += 2) {
        const __m256i pairs = _mm256_hadd_epi32(sums[token][half][v], sums[token][half][v + 1]);
        auto* out =
            reinterpret_cast<__m256i*>(static_cast<std::int32_t*>(op.sums) +
                                       ((first_half + half) * kPanelTokens + first_token + token) * kHalf + v * 4);
        const __m256i columns = _mm256_permute4x64_epi64(pairs, 0b11'01'10'00);
        _mm256_storeu_si256(out, op.add ? _mm256_add_epi32(_mm256_loadu_si256(out), columns) : columns);
      }
}

template <bool kPrefetches>
void accumulate_s16_by_halves(const StripProduct& op) {
  for (int half = 0; half < 2; ++half) {
    int token = 0;
    for (; token + kTokensAtOnce <= op.num_tokens; token += kTokensAtOnce)
      accumulate_s16<kTokensAtOnce, 1, kPrefetches>(op, half, token);
    if (token < op.num_tokens) accumulate_s16<1, 1, kPrefetches>(op, half, token);
  }
}

void accumulate_s16(const StripProduct& op) {
  if (op.num_tokens == 1) return accumulate_s16<1, 2>(op, 0, 0);
  op.next ? accumulate_s16_by_halves<true>(op) : accumulate_s16_by_halves<false>(op);
}

void finish_s16(const StripResult& op) {
  for (int token = 0; token < op.num_tokens; ++token)
    for (int column = 0; column < kStrip; column += kWidth) {
      const auto* sums =
          static_cast<const std::int32_t*>(op.sums) + (column / kHalf * kPanelTokens + token) * kHalf + column % kHalf;
      IntVec whole;
      __builtin_memcpy(&whole, sums, sizeof whole);
      const Vec value = __builtin_convertvector(whole, Vec) * broadcast(op.token_scales[token]);
      float* out = op.out + token * kStrip + column;
      const Vec scale = load(op.scales + column);
      store(out, op.add ? fma(value, scale, load(out)) : value * scale);
    }
}

// 32767 * 128 * 512 is just below 2^31.
const ProductKernels kS16Products = {.activation_bytes = 2,
                                     .num_sums = 1,
                                     .block_rows = 512,
                                     .exact_rows = 512,
                                     .paired_tokens = 0,
                                     .tokens_at_once = 1,  // one token takes both halves at once
                                     .table_limbs = 2,
                                     .largest = 32767,
                                     .pack = pack_s16,
                                     .accumulate = accumulate_s16,
                                     .finish = finish_s16,
                                     .add_columns = nullptr};

}  // namespace

const Kernels kAvx2Kernels = {"avx2",  kS16Products, nullptr,   page_attention, dot, largest_magnitude,
                              highest, sum_of_exp,   gated_gelu};

}  // namespace grok::cpu

#endif
