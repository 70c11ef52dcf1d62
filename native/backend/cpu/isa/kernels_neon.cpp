#if defined(__aarch64__)

#include "backend/cpu/isa/kernels.h"

#include <arm_neon.h>

#include "backend/backend.h"
#include "backend/cpu/layout/packed_matrix.h"

namespace grok::cpu {
namespace {

constexpr int kWidth = 4;
using Vec = float32x4_t;
using IntVec = int32x4_t;

inline Vec load_i8(const std::int8_t* from) {
  std::uint32_t bytes;
  __builtin_memcpy(&bytes, from, sizeof bytes);
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(bytes)))));
}

inline Vec load_bf16(const std::uint16_t* from) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(from), 16)); }

inline Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }

#include "backend/cpu/isa/kernels.inc"
// Uses the definitions of kernels.inc.
#include "backend/cpu/isa/attention_kernels.inc"

// Products with 24-bit activations and one scale per token, split into three signed bytes: x = scale * (65536 a + 256 b
// + c), as in packed_table.cpp. NEON multiplies signed bytes by signed bytes, so no offset is needed, unlike in
// kernels_avx512.cpp. Sums are exact in both.

constexpr int kNumLimbs = 3;

// The largest number whose upper byte still fits a signed byte after the lower two are rounded to nearest.
constexpr int kLargest = 127 * 65536 + 127 * 256 + 127;
// 24 KiB of weights stay in L1 beside the activations that stream through it.
constexpr int kBlockRows = 768;

void pack_signed_limbs(const PackActivations& op) {
  constexpr int kHalves = 0x808080;  // 128 in each limb
  constexpr int kRows = 16;          // one vector of bytes for each limb
  const Vec inverse = broadcast(op.scale > 0 ? 1 / op.scale : 0);
  const std::size_t limb_stride = std::size_t(op.num_tokens) * kChunkRows;
  for (int chunk = 0; chunk * kChunkRows < op.num_rows; ++chunk) {
    const int first = chunk * kChunkRows, num_rows = smaller(kChunkRows, op.num_rows - first);
    float x[kChunkRows] = {};
    __builtin_memcpy(x, op.x + first, num_rows * sizeof(float));
    std::uint8_t* out = op.out + (std::size_t(chunk) * kNumLimbs * op.num_tokens + op.token) * kChunkRows;
    for (int row = 0; row < kChunkRows; row += kRows) {
      std::uint8_t numbers[kRows * 4];
      for (int i = 0; i < kRows; i += kWidth) {
        // Adding 128 to each limb avoids carries. Subtracting 128 again flips the highest bit of each byte.
        const IntVec number = (vcvtnq_s32_f32(load(x + row + i) * inverse) + kHalves) ^ kHalves;
        __builtin_memcpy(numbers + i * 4, &number, sizeof number);
      }
      const uint8x16x4_t bytes = vld4q_u8(numbers);  // the lowest byte of all numbers, then the next, ..
      for (int limb = 0; limb < kNumLimbs; ++limb)
        vst1q_u8(out + limb * limb_stride + row, bytes.val[kNumLimbs - 1 - limb]);
    }
  }
}

constexpr int kVectors = kStrip / kWidth;  // per strip of columns
constexpr int kQuadBytes = kStrip * kQuad;

// Adds the products of one quad to all columns of a strip. Its activations are a lane of x.
template <int kLane>
inline __attribute__((always_inline)) void multiply_quad(int32x4_t (&sums)[kVectors][kNumLimbs],
                                                         const std::int8_t* weights, const int8x16_t (&x)[kNumLimbs]) {
  for (int v = 0; v < kVectors; ++v) {
    const int8x16_t weight = vld1q_s8(weights + v * kWidth * kQuad);
    for (int limb = 0; limb < kNumLimbs; ++limb) sums[v][limb] = vdotq_laneq_s32(sums[v][limb], weight, x[limb], kLane);
  }
}

// Accumulates the quads from `first_quad`, the start of a chunk, to `end` for one token. A quad needs 8 loads for 24
// sums, the most that the registers hold. Two tokens of half the columns would need fewer loads, but cores start at
// most two dot products per load anyway. (Computed, not measured: no arm64 machine was available.)
template <bool kAhead>
void accumulate_signed_limbs(const StripProduct& op, int first_quad, int end, int token) {
  constexpr int kLimbSums = 2 * kPanelTokens * kHalf, kChunkQuads = kChunkRows / kQuad;
  const auto place = [&](int v, int limb) {
    const int half = v * kWidth / kHalf;
    return static_cast<std::int32_t*>(op.sums) + limb * kLimbSums + (half * kPanelTokens + token) * kHalf +
           v * kWidth % kHalf;
  };
  int32x4_t sums[kVectors][kNumLimbs] = {};
  if (op.add || first_quad > 0)
    for (int v = 0; v < kVectors; ++v)
      for (int limb = 0; limb < kNumLimbs; ++limb) sums[v][limb] = vld1q_s32(place(v, limb));

  const std::size_t limb_stride = std::size_t(op.num_tokens) * kChunkRows;
  const std::int8_t* weights = op.weights + std::size_t(first_quad) * kQuad * kStrip;
  const std::uint8_t* x =
      op.x + std::size_t(first_quad) * kQuad * kNumLimbs * op.num_tokens + std::size_t(token) * kChunkRows;
  for (int quads_left = end - first_quad; quads_left > 0; quads_left -= kChunkQuads) {
    const int chunk_quads = smaller(kChunkQuads, quads_left);
    for (int quad = 0; quad < chunk_quads; quad += 4) {
      int8x16_t four[kNumLimbs];  // quads; zeros beyond the last
      for (int limb = 0; limb < kNumLimbs; ++limb)
        four[limb] = vreinterpretq_s8_u8(vld1q_u8(x + limb * limb_stride + quad * kQuad));
      if (kAhead)
        for (int line = 0; line < 4 * kQuadBytes; line += 64) __builtin_prefetch(weights + kPrefetchBytes + line);
      multiply_quad<0>(sums, weights, four);
      if (quad + 1 < chunk_quads) multiply_quad<1>(sums, weights + kQuadBytes, four);
      if (quad + 2 < chunk_quads) multiply_quad<2>(sums, weights + 2 * kQuadBytes, four);
      if (quad + 3 < chunk_quads) multiply_quad<3>(sums, weights + 3 * kQuadBytes, four);
      weights += 4 * kQuadBytes;
    }
    x += kNumLimbs * limb_stride;
  }

  for (int v = 0; v < kVectors; ++v)
    for (int limb = 0; limb < kNumLimbs; ++limb) vst1q_s32(place(v, limb), sums[v][limb]);
}

// The rows of the strip stay in L1 for all tokens but the first, whatever its length.
void accumulate_signed_limbs(const StripProduct& op) {
  constexpr int kBlockQuads = kBlockRows / kQuad;
  for (int quad = 0; quad < op.num_quads; quad += kBlockQuads) {
    const int end = smaller(quad + kBlockQuads, op.num_quads);
    for (int token = 0; token < op.num_tokens; ++token) {
      if (op.from_memory && token == 0)
        accumulate_signed_limbs<true>(op, quad, end, token);
      else
        accumulate_signed_limbs<false>(op, quad, end, token);
    }
  }
}

void finish_signed_limbs(const StripResult& op) {
  constexpr int kLimbSums = 2 * kPanelTokens * kHalf;
  for (int token = 0; token < op.num_tokens; ++token)
    for (int column = 0; column < kStrip; column += kWidth) {
      const auto* sums =
          static_cast<const std::int32_t*>(op.sums) + (column / kHalf * kPanelTokens + token) * kHalf + column % kHalf;
      const Vec high = vcvtq_f32_s32(vld1q_s32(sums));
      const Vec middle = vcvtq_f32_s32(vld1q_s32(sums + kLimbSums));
      const Vec low = vcvtq_f32_s32(vld1q_s32(sums + 2 * kLimbSums));
      const Vec whole = fma(high, broadcast(65536.0f), fma(middle, broadcast(256.0f), low));
      const Vec value = whole * broadcast(op.token_scales[token]);
      float* out = op.out + token * kStrip + column;
      const Vec scale = load(op.scales + column);
      store(out, op.add ? fma(value, scale, load(out)) : value * scale);
    }
}

// 128 * 128 * kMaxGroupRows is 2^30. The largest activation divided by its scale in float32 may be two too large.
const ProductKernels kSignedLimbProducts = {.activation_bytes = kNumLimbs,
                                            .num_sums = kNumLimbs,
                                            .block_rows = kBlockRows,
                                            .exact_rows = kMaxGroupRows,
                                            .paired_tokens = 0,
                                            .tokens_at_once = kPanelTokens,
                                            .table_limbs = 2,
                                            .largest = float(kLargest - 2),
                                            .pack = pack_signed_limbs,
                                            .accumulate = accumulate_signed_limbs,
                                            .finish = finish_signed_limbs,
                                            .add_columns = nullptr};

}  // namespace

const Kernels kNeonKernels = {"neon",  kSignedLimbProducts, nullptr,   page_attention, dot, largest_magnitude,
                              highest, sum_of_exp,          gated_gelu};

}  // namespace grok::cpu

#endif
