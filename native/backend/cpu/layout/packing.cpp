#include "backend/cpu/layout/packing.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

namespace grok::cpu {
namespace {

using Bytes16 = std::int8_t __attribute__((vector_size(16)));
using Words8 = std::int16_t __attribute__((vector_size(16)));

// rows: 4 rows of 16 columns, `stride` apart; out: [16, 4].
void pack_quad(const std::int8_t* rows, std::size_t stride, std::int8_t* out) {
  Bytes16 a, b, c, d;
  std::memcpy(&a, rows, 16);
  std::memcpy(&b, rows + stride, 16);
  std::memcpy(&c, rows + 2 * stride, 16);
  std::memcpy(&d, rows + 3 * stride, 16);
  const auto low = [](Bytes16 x, Bytes16 y) {
    return Words8(__builtin_shufflevector(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
  };
  const auto high = [](Bytes16 x, Bytes16 y) {
    return Words8(__builtin_shufflevector(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
  };
  const Words8 ab[2] = {low(a, b), high(a, b)}, cd[2] = {low(c, d), high(c, d)};
  for (int i = 0; i < 2; ++i) {
    const Words8 first = __builtin_shufflevector(ab[i], cd[i], 0, 8, 1, 9, 2, 10, 3, 11);
    const Words8 second = __builtin_shufflevector(ab[i], cd[i], 4, 12, 5, 13, 6, 14, 7, 15);
    std::memcpy(out + i * 32, &first, 16);
    std::memcpy(out + i * 32 + 16, &second, 16);
  }
}

}  // namespace

void pack_quads(const std::int8_t* rows, std::size_t stride, int num_quads, std::int8_t* out) {
  for (int quad = 0; quad < num_quads; ++quad, rows += kQuad * stride)
    for (int column = 0; column < kStrip; column += kHalf, out += kHalf * kQuad) pack_quad(rows + column, stride, out);
}

void load_scales(const Linear& stored, const std::function<float*(int, int, int)>& scales_of) {
  // bf16 [num_experts, num_groups, d_out]
  std::vector<std::uint16_t> bits(std::size_t(stored.num_experts) * stored.num_groups * stored.d_out);
  stored.scales.read(0, std::as_writable_bytes(std::span(bits)));
  const std::uint16_t* row = bits.data();
  for (int expert = 0; expert < stored.num_experts; ++expert)
    for (int group = 0; group < stored.num_groups; ++group, row += stored.d_out)
      for (int strip = 0; strip < CpuMatrix::strips_of(stored.d_out); ++strip)
        std::transform(row + strip * kStrip, row + std::min((strip + 1) * kStrip, stored.d_out),
                       scales_of(expert, strip, group), bf16_to_f32);
}

}  // namespace grok::cpu
