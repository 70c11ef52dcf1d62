#if defined(__aarch64__)

#include "backend/cpu/kernels.h"

#include <arm_neon.h>

#include "backend/backend.h"
#include "backend/cpu/packed_matrix.h"

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

#include "backend/cpu/kernels.inc"
#include "backend/cpu/product_signed_digits.inc"
// Builds on the one above.
#include "backend/cpu/attention_kernels.inc"

}  // namespace

const Kernels kNeonKernels = {"neon",  kSignedDigitProducts, nullptr,   page_attention, dot, largest_magnitude,
                              highest, sum_of_exp,           gated_gelu};

}  // namespace grok::cpu

#endif
