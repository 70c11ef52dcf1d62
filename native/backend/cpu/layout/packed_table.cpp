#include "backend/cpu/layout/packed_table.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace grok::cpu {
namespace {

// The largest number whose upper byte still fits a signed byte after the lower two are rounded to nearest.
constexpr int kLargest = 127 * 65536 + 127 * 256 + 126;  // one less, because the division by the scale may round up

// Index of the weight of one input and one column in its strip, for a matrix with one scale group.
std::size_t place_in_strip(int input, int column) {
  return std::size_t(input / kQuad * kStrip + column) * kQuad + input % kQuad;
}

}  // namespace

std::uint64_t PackedTable::size_bytes(const TensorView& f32) {
  return PackedMatrix::size_bytes(kNumLimbs, int(f32.shape[1]), int(f32.shape[0]), 1);
}

// A task packs one strip: 32 adjacent rows of the table.
PackedTable::PackedTable(const TensorView& f32, threads::ThreadPool& pool)
    : limbs_(kNumLimbs, int(f32.shape[1]), int(f32.shape[0]), 1) {
  const std::size_t d_model = limbs_.d_in;
  pool.parallel_for(limbs_.num_strips, [&](std::size_t task) {
    const int strip = int(task), num_columns = std::min(kStrip, limbs_.d_out - strip * kStrip);
    std::vector<float> rows(num_columns * d_model);
    f32.read(std::size_t(strip) * kStrip * d_model * sizeof(float), std::as_writable_bytes(std::span(rows)));

    std::int8_t* weights[kNumLimbs];
    for (int limb = 0; limb < kNumLimbs; ++limb) weights[limb] = limbs_.weights(limb, strip, 0);

    for (int column = 0; column < num_columns; ++column) {
      const float* row = &rows[column * d_model];
      std::int32_t sums[kNumLimbs] = {};
      float largest = 0;
      bool is_finite = true;
      for (std::size_t i = 0; i < d_model; ++i) {
        largest = std::max(largest, std::abs(row[i]));
        is_finite &= std::isfinite(row[i]);
      }
      // A NaN or infinity makes the whole row NaN, so that a corrupt checkpoint is noticed.
      const float scale = is_finite ? largest / float(kLargest) : std::numeric_limits<float>::quiet_NaN();
      for (int limb = 0; limb < kNumLimbs; ++limb)
        limbs_.scales(limb, strip, 0)[column] = scale * float(1 << (8 * (kNumLimbs - 1 - limb)));

      const double inverse = scale > 0 ? 1 / double(scale) : 0;
      for (std::size_t i = 0; is_finite && i < d_model; ++i) {
        const double exact = row[i] * inverse;
        int value = int(exact < 0 ? exact - 0.5 : exact + 0.5);
        const std::size_t place = place_in_strip(int(i), column);
        for (int limb = kNumLimbs - 1; limb >= 0; --limb) {
          const auto byte = std::int8_t(value);  // the lower eight bits, as a signed number
          weights[limb][place] = byte;
          sums[limb] += byte;
          value = (value - byte) >> 8;
        }
      }
      for (int limb = 0; limb < kNumLimbs; ++limb) limbs_.column_sums(limb, strip, 0)[column] = sums[limb];
    }
  });
}

void PackedTable::row(int token, float* out) const {
  const int strip = token / kStrip, column = token % kStrip;
  const float scale = limbs_.scales(kNumLimbs - 1, strip, 0)[column];
  for (int i = 0; i < limbs_.d_in; ++i) {
    const std::size_t place = place_in_strip(i, column);
    int value = 0;
    for (int limb = 0; limb < kNumLimbs; ++limb) value = value * 256 + limbs_.weights(limb, strip, 0)[place];
    out[i] = float(value) * scale;
  }
}

}  // namespace grok::cpu
