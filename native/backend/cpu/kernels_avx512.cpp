#if defined(__x86_64__)

#include <immintrin.h>

#include "backend/backend.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/packed_matrix.h"
#include "backend/cpu/product_amx.h"

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

#include "backend/cpu/kernels.inc"
// Builds on the one above.
#include "backend/cpu/attention_kernels.inc"
#include "backend/cpu/product_digits.inc"

// A token or two of two strips at once.
constexpr int kPairedTokens = 2;

// Whole chunks with tiles, the rest of a scale group without. One or two tokens by themselves fill too little of a tile:
// memory is as fast without.
template <int kNumDigits>
void accumulate_amx_and_digits(const StripProduct& op) {
  constexpr int kChunkQuads = kChunkRows / kQuad;
  if (op.second_strip)
    return op.num_tokens == 1 ? accumulate_digits<kNumDigits, 1, 4, Ahead::own_weights>(op, 0)
                              : accumulate_digits<kNumDigits, 2, 4, Ahead::own_weights>(op, 0);
  if (op.from_memory && op.num_tokens <= kPairedTokens) return accumulate_digits<kNumDigits, true>(op);
  if (op.num_quads % kChunkQuads == 0) return accumulate_amx(op, kNumDigits);
  StripProduct whole = op, rest = op;
  rest.next = nullptr;  // asked for by then
  rest.next_lines = 0;
  whole.num_quads = op.num_quads / kChunkQuads * kChunkQuads;
  rest.num_quads -= whole.num_quads;
  rest.weights += std::size_t(whole.num_quads) * kQuad * kStrip;
  rest.x += std::size_t(whole.num_quads) * kQuad * kNumDigits * op.num_tokens;
  if (whole.num_quads > 0) {
    accumulate_amx(whole, kNumDigits);
    rest.add = true;
  }
  if (rest.num_quads > 0) accumulate_digits<kNumDigits, true>(rest);
}

// 512 rows: 16 KiB of weights are read again from L1. The experts' groups are multiples of it: of 384, the last piece of a
// group was too short to ask for the whole next piece, which cost 8 rows 5 %.
template <int kNumDigits>
constexpr ProductKernels kVnniProducts = {.activation_bytes = kNumDigits,
                                          .num_sums = kNumDigits,
                                          .block_rows = 512,
                                          .exact_rows = kMaxGroupRows,
                                          .paired_tokens = 0,
                                          .tokens_at_once = kTokensAtOnce,
                                          .table_planes = 2,
                                          .largest = float(offset_of(kNumDigits) - 2),
                                          .pack = pack_digits<kNumDigits>,
                                          .accumulate = accumulate_digits<kNumDigits, false>,
                                          .finish = finish_digits<kNumDigits>,
                                          .add_columns = add_columns};

template <int kNumDigits>
constexpr ProductKernels kAmxProducts = [] {
  ProductKernels products = kVnniProducts<kNumDigits>;
  products.paired_tokens = kPairedTokens;
  products.tokens_at_once = kPanelTokens;
  // 12 KiB of weights stay in L1 beside 12 or 18 KiB of a panel's activations. With 768 a core did a quarter less.
  products.block_rows = 384;
  products.accumulate = accumulate_amx_and_digits<kNumDigits>;
  return products;
}();

}  // namespace

const Kernels kAvx512Kernels = {"avx512",          kVnniProducts<2>, &kVnniProducts<3>, page_attention, dot,
                                largest_magnitude, highest,          sum_of_exp,        gated_gelu};
const Kernels kAmxKernels = {"amx",   kAmxProducts<2>, &kAmxProducts<3>, page_attention, dot, largest_magnitude,
                             highest, sum_of_exp,      gated_gelu};

}  // namespace grok::cpu

#endif
