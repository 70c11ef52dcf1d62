#include "backend/cpu/isa/kernels.h"

#if defined(__SSE4_1__)
#include <smmintrin.h>
#endif

#include "backend/backend.h"
#include "backend/cpu/layout/packed_matrix.h"

namespace grok::cpu {
namespace {

// 128-bit vectors: every x86-64 and arm64 has them, and GCC supports them directly.
constexpr int kWidth = 4;
using Vec = float __attribute__((vector_size(16)));
using IntVec = std::int32_t __attribute__((vector_size(16)));
using HalfVec = std::uint16_t __attribute__((vector_size(8)));
using ByteVec = std::int8_t __attribute__((vector_size(4)));

inline Vec load_i8(const std::int8_t* from) {
#if defined(__SSE4_1__)
  // Written out because the compiler turns the conversion below into four scalar ones, which are four times slower.
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

#include "backend/cpu/isa/kernels.inc"
// Uses the definitions of kernels.inc.
#include "backend/cpu/isa/attention_kernels.inc"

// Products in float32, the specification of the others: activations are unchanged, and a sum is a float.

void pack_f32(const PackActivations& op) {
  for (int chunk = 0; chunk * kChunkRows < op.num_rows; ++chunk) {
    float out[kChunkRows] = {};
    const int first = chunk * kChunkRows;
    for (int row = 0; row < smaller(kChunkRows, op.num_rows - first); ++row) out[row] = op.x[first + row];
    __builtin_memcpy(op.out + (std::size_t(chunk) * op.num_tokens + op.token) * sizeof out, out, sizeof out);
  }
}

// Multiplies four columns by kTokens tokens. Each of the four rows of a quad has its own lane of sums, chunk by chunk.
// So the order does not depend on how many chunks are multiplied at once.
template <int kTokens>
void accumulate_f32(const StripProduct& op, int half, int first_column, int first_token) {
  for (int first_quad = 0; first_quad < op.num_quads; first_quad += kChunkRows / kQuad) {
    const int chunk_quads = smaller(kChunkRows / kQuad, op.num_quads - first_quad);
    const std::int8_t* weights = op.weights + (first_quad * kStrip + half * kHalf + first_column) * kQuad;
    const float* x =
        reinterpret_cast<const float*>(op.x) + first_quad * kQuad * op.num_tokens + first_token * kChunkRows;
    Vec lanes[kTokens][4] = {};
    for (int quad = 0; quad < chunk_quads; ++quad, weights += kStrip * kQuad, x += kQuad)
      for (int column = 0; column < 4; ++column) {
        const Vec weight = load_i8(weights + column * kQuad);
        for (int token = 0; token < kTokens; ++token)
          lanes[token][column] = fma(weight, load(x + token * kChunkRows), lanes[token][column]);
      }
    for (int token = 0; token < kTokens; ++token)
      for (int column = 0; column < 4; ++column) {
        float& so_far =
            static_cast<float*>(op.sums)[(half * kPanelTokens + first_token + token) * kHalf + first_column + column];
        const float of_chunk = sum(lanes[token][column]);
        so_far = op.add || first_quad > 0 ? so_far + of_chunk : of_chunk;
      }
  }
}

void accumulate_f32(const StripProduct& op) {
  for (int half = 0; half < 2; ++half)
    for (int column = 0; column < kHalf; column += 4) {
      int token = 0;
      for (; token + 3 <= op.num_tokens; token += 3) accumulate_f32<3>(op, half, column, token);
      for (; token < op.num_tokens; ++token) accumulate_f32<1>(op, half, column, token);
    }
}

void finish_f32(const StripResult& op) {
  for (int token = 0; token < op.num_tokens; ++token)
    for (int column = 0; column < kStrip; ++column) {
      const int half = column / kHalf;
      const float sum = static_cast<const float*>(op.sums)[(half * kPanelTokens + token) * kHalf + column % kHalf];
      float& out = op.out[token * kStrip + column];
      const float value = sum * op.scales[column];
      out = op.add ? out + value : value;
    }
}

const ProductKernels kF32Products = {.activation_bytes = 4,
                                     .num_sums = 1,
                                     .block_rows = 512,
                                     .exact_rows = kMaxGroupRows,
                                     .paired_tokens = 0,
                                     .tokens_at_once = kPanelTokens,
                                     .table_limbs = 3,
                                     .largest = 0,
                                     .pack = pack_f32,
                                     .accumulate = accumulate_f32,
                                     .finish = finish_f32,
                                     .add_columns = nullptr};

}  // namespace

const Kernels kPortableKernels = {"portable",        kF32Products, nullptr,    page_attention, dot,
                                  largest_magnitude, highest,      sum_of_exp, gated_gelu};

}  // namespace grok::cpu
