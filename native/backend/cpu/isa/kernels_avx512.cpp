#if defined(__x86_64__)

#include <immintrin.h>

#include "backend/backend.h"
#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/isa/product_amx.h"
#include "backend/cpu/layout/packed_matrix.h"

namespace grok::cpu {
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

#include "backend/cpu/isa/kernels.inc"
// Uses the definitions of kernels.inc.
#include "backend/cpu/isa/attention_kernels.inc"

// Products with activations of two or three 8-bit limbs and one scale per token: x = scale * (256 a + b - 2^15), or
// scale * (65536 a + 256 b + c - 2^23). Products of bytes are exact in 32 bits, so the only error is the rounding to 16
// bits (3e-5 of a product) or to 24 bits (like float32). The offset makes all bytes unsigned, as the instructions
// require. It adds the column's sum of weights times 2^15 or 2^23, which is subtracted at the end.

constexpr int offset_of(int num_limbs) { return 1 << (8 * num_limbs - 1); }

template <int kNumLimbs>
void pack_limbs(const PackActivations& op) {
  const Vec inverse = broadcast(op.scale > 0 ? 1 / op.scale : 0);
  const std::size_t limb_stride = std::size_t(op.num_tokens) * kChunkRows;
  for (int chunk = 0; chunk * kChunkRows < op.num_rows; ++chunk) {
    const int first = chunk * kChunkRows, num_rows = smaller(kChunkRows, op.num_rows - first);
    alignas(64) float x[kChunkRows] = {};
    __builtin_memcpy(x, op.x + first, num_rows * sizeof(float));
    std::uint8_t* out = op.out + (std::size_t(chunk) * kNumLimbs * op.num_tokens + op.token) * kChunkRows;
    for (int row = 0; row < kChunkRows; row += kWidth) {
      const __m512i value =
          _mm512_add_epi32(_mm512_cvtps_epi32(load(x + row) * inverse), _mm512_set1_epi32(offset_of(kNumLimbs)));
      for (int limb = 0; limb < kNumLimbs; ++limb)
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + limb * limb_stride + row),
                         _mm512_cvtepi32_epi8(_mm512_srli_epi32(value, 8 * (kNumLimbs - 1 - limb))));
    }
  }
}

// Data that a pass over the weights prefetches.
enum class Ahead { nothing, own_weights, next_weights };

// Tokens of one pass: their sums fit the registers.
constexpr int kTokensAtOnce = 4;

// Loops over sums must be unrolled before any other optimisation. Then the compiler sees kTokens * kVectors * kNumLimbs
// variables and keeps them in registers. It stored half of an array's elements after each addition, at twice the time.
template <int kNumLimbs, int kTokens, int kVectors, Ahead kAhead>
void accumulate_limbs(const StripProduct& op, int first_token) {
  constexpr int kLimbSums = 2 * kPanelTokens * kHalf, kChunkQuads = kChunkRows / kQuad;
  auto* const out = static_cast<std::int32_t*>(op.sums) + first_token * kHalf;
  const auto place = [&](int token, int v, int limb) {
    return out + (v / 2 * kNumLimbs + limb) * kLimbSums + (v % 2 * kPanelTokens + token) * kHalf;
  };
  __m512i sums[kTokens][kVectors][kNumLimbs] = {};
  if (op.add)
#pragma GCC unroll 4
    for (int token = 0; token < kTokens; ++token)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 4
        for (int limb = 0; limb < kNumLimbs; ++limb) sums[token][v][limb] = _mm512_loadu_si512(place(token, v, limb));

  const std::int8_t* const strips[2] = {op.weights, op.second_strip};
  const std::size_t limb_stride = std::size_t(op.num_tokens) * kChunkRows;
  const std::uint8_t* x = op.x + first_token * kChunkRows;
  std::size_t offset = 0;
  NextLines next(op, first_token / kTokensAtOnce, (op.num_tokens + kTokensAtOnce - 1) / kTokensAtOnce);
  for (int quads_left = op.num_quads; quads_left > 0; quads_left -= kChunkQuads) {
    const int num_quads = smaller(kChunkQuads, quads_left);
    for (int quad = 0; quad < num_quads; ++quad, x += kQuad, offset += kStrip * kQuad) {
      if (kAhead == Ahead::next_weights) next.prefetch();
      __m512i weight[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const std::int8_t* line = strips[v / 2] + offset + v % 2 * kHalf * kQuad;
        if (kAhead == Ahead::own_weights) __builtin_prefetch(line + kPrefetchBytes);
        weight[v] = _mm512_loadu_si512(line);
        asm("" : "+v"(weight[v]));  // loads it into a register once, not once for each limb
      }
#pragma GCC unroll 4
      for (int token = 0; token < kTokens; ++token)
#pragma GCC unroll 4
        for (int limb = 0; limb < kNumLimbs; ++limb) {
          int four;
          __builtin_memcpy(&four, x + limb * limb_stride + token * kChunkRows, sizeof four);
          const __m512i activations = _mm512_set1_epi32(four);
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v)
            sums[token][v][limb] = _mm512_dpbusd_epi32(sums[token][v][limb], activations, weight[v]);
        }
    }
    x += kNumLimbs * limb_stride - kChunkRows;
  }

#pragma GCC unroll 4
  for (int token = 0; token < kTokens; ++token)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 4
      for (int limb = 0; limb < kNumLimbs; ++limb) _mm512_storeu_si512(place(token, v, limb), sums[token][v][limb]);
}

template <int kNumLimbs, int kTokens, bool kMayPrefetch>
void accumulate_limbs(const StripProduct& op, int first_token) {
  if (kMayPrefetch && op.from_memory && first_token == 0)
    accumulate_limbs<kNumLimbs, kTokens, 2, Ahead::own_weights>(op, first_token);
  else if (op.next)
    accumulate_limbs<kNumLimbs, kTokens, 2, Ahead::next_weights>(op, first_token);
  else
    accumulate_limbs<kNumLimbs, kTokens, 2, Ahead::nothing>(op, first_token);
}

template <int kNumLimbs, bool kMayPrefetch>
void accumulate_limbs(const StripProduct& op) {
  int token = 0;
  for (; token + kTokensAtOnce <= op.num_tokens; token += kTokensAtOnce)
    accumulate_limbs<kNumLimbs, kTokensAtOnce, kMayPrefetch>(op, token);
  if (op.num_tokens - token == 3) accumulate_limbs<kNumLimbs, 3, kMayPrefetch>(op, token);
  if (op.num_tokens - token == 2) accumulate_limbs<kNumLimbs, 2, kMayPrefetch>(op, token);
  if (op.num_tokens - token == 1) accumulate_limbs<kNumLimbs, 1, kMayPrefetch>(op, token);
}

template <int kNumLimbs>
void finish_limbs(const StripResult& op) {
  constexpr int kLimbSums = 2 * kPanelTokens * kHalf;
  for (int half = 0; half < 2; ++half) {
    const Vec scale = load(op.scales + half * kHalf);
    const __m512i offset = _mm512_slli_epi32(_mm512_loadu_si512(op.column_sums + half * kHalf), 7);
    for (int token = 0; token < op.num_tokens; ++token) {
      const auto* sums = static_cast<const std::int32_t*>(op.sums) + (half * kPanelTokens + token) * kHalf;
      const auto sum = [&](int limb) { return _mm512_loadu_si512(sums + limb * kLimbSums); };
      Vec lower = _mm512_cvtepi32_ps(sum(kNumLimbs - 1));
      if (kNumLimbs == 3) lower = fma(_mm512_cvtepi32_ps(sum(1)), broadcast(256.0f), lower);
      const Vec highest = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum(0), offset));
      const Vec whole = fma(highest, broadcast(float(1 << (8 * (kNumLimbs - 1)))), lower);
      const Vec value = whole * broadcast(op.token_scales[token]);
      float* out = op.out + token * kStrip + half * kHalf;
      store(out, op.add ? fma(value, scale, load(out)) : value * scale);
    }
  }
}

void add_columns(const std::int8_t* weights, int num_quads, std::int32_t* column_sums) {
  constexpr int kLine = kHalf * kQuad;
  const __m512i ones = _mm512_set1_epi8(1);
  __m512i low = _mm512_loadu_si512(column_sums), high = _mm512_loadu_si512(column_sums + kHalf);
  for (int quad = 0; quad < num_quads; ++quad, weights += 2 * kLine) {
    low = _mm512_dpbusd_epi32(low, ones, _mm512_loadu_si512(weights));
    high = _mm512_dpbusd_epi32(high, ones, _mm512_loadu_si512(weights + kLine));
  }
  _mm512_storeu_si512(column_sums, low);
  _mm512_storeu_si512(column_sums + kHalf, high);
}

// Up to this many tokens, two strips are processed at once.
constexpr int kPairedTokens = 2;

// Uses tiles for whole chunks, and vectors for the rest of a scale group and for one or two tokens. So few tokens fill
// too little of a tile, and memory limits both ways alike.
template <int kNumLimbs>
void accumulate_amx_and_limbs(const StripProduct& op) {
  constexpr int kChunkQuads = kChunkRows / kQuad;
  if (op.second_strip)
    return op.num_tokens == 1 ? accumulate_limbs<kNumLimbs, 1, 4, Ahead::own_weights>(op, 0)
                              : accumulate_limbs<kNumLimbs, 2, 4, Ahead::own_weights>(op, 0);
  if (op.from_memory && op.num_tokens <= kPairedTokens) return accumulate_limbs<kNumLimbs, true>(op);
  if (op.num_quads % kChunkQuads == 0) return accumulate_amx(op, kNumLimbs);
  StripProduct whole = op, rest = op;
  rest.next = nullptr;  // prefetched by then
  rest.next_lines = 0;
  whole.num_quads = op.num_quads / kChunkQuads * kChunkQuads;
  rest.num_quads -= whole.num_quads;
  rest.weights += std::size_t(whole.num_quads) * kQuad * kStrip;
  rest.x += std::size_t(whole.num_quads) * kQuad * kNumLimbs * op.num_tokens;
  if (whole.num_quads > 0) {
    accumulate_amx(whole, kNumLimbs);
    rest.add = true;
  }
  if (rest.num_quads > 0) accumulate_limbs<kNumLimbs, true>(rest);
}

// 512 rows: 16 KiB of weights are read again from L1. The experts' groups are multiples of it. With 384, the last piece
// of a group was too short to prefetch the whole next piece, which cost 5 % for 8 rows.
template <int kNumLimbs>
constexpr ProductKernels kVnniProducts = {.activation_bytes = kNumLimbs,
                                          .num_sums = kNumLimbs,
                                          .block_rows = 512,
                                          .exact_rows = kMaxGroupRows,
                                          .paired_tokens = 0,
                                          .tokens_at_once = kTokensAtOnce,
                                          .table_limbs = 2,
                                          .largest = float(offset_of(kNumLimbs) - 2),
                                          .pack = pack_limbs<kNumLimbs>,
                                          .accumulate = accumulate_limbs<kNumLimbs, false>,
                                          .finish = finish_limbs<kNumLimbs>,
                                          .add_columns = add_columns};

template <int kNumLimbs>
constexpr ProductKernels kAmxProducts = [] {
  ProductKernels products = kVnniProducts<kNumLimbs>;
  products.paired_tokens = kPairedTokens;
  products.tokens_at_once = kPanelTokens;
  // 12 KiB of weights stay in L1 beside 12 or 18 KiB of a panel's activations. With 768 rows a core was a quarter
  // slower.
  products.block_rows = 384;
  products.accumulate = accumulate_amx_and_limbs<kNumLimbs>;
  return products;
}();

}  // namespace

const Kernels kAvx512Kernels = {"avx512",          kVnniProducts<2>, &kVnniProducts<3>, page_attention, dot,
                                largest_magnitude, highest,          sum_of_exp,        gated_gelu};
const Kernels kAmxKernels = {"amx",   kAmxProducts<2>, &kAmxProducts<3>, page_attention, dot, largest_magnitude,
                             highest, sum_of_exp,      gated_gelu};

}  // namespace grok::cpu

#endif
