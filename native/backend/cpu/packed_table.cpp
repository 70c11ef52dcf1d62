#include "backend/cpu/packed_table.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace grok {
namespace {

// The largest number whose upper byte, when the lower two are taken to the nearest, still fits a signed byte.
constexpr int kLargest = 127 * 65536 + 127 * 256 + 127;

// Where the weight of one input of one column lies in its strip of a matrix with one scale group.
std::size_t place_in_strip(int input, int column, int group_quads) {
  const int quad = input / kQuad, first_quad = quad / (kChunkRows / kQuad) * (kChunkRows / kQuad);
  const int chunk_quads = std::min(kChunkRows / kQuad, group_quads - first_quad);
  const std::size_t chunk = std::size_t(first_quad) * kStrip * kQuad;
  return chunk + std::size_t((column / kHalf * chunk_quads + quad - first_quad) * kHalf + column % kHalf) * kQuad +
         input % kQuad;
}

}  // namespace

std::uint64_t PackedTable::size_bytes(const TensorView& f32) {
  return PackedMatrix::size_bytes(kNumPlanes, int(f32.shape[1]), int(f32.shape[0]), 1);
}

// A strip a task: 32 rows of the table, which lie one after another.
PackedTable::PackedTable(const TensorView& f32, ThreadPool& pool)
    : planes_(kNumPlanes, int(f32.shape[1]), int(f32.shape[0]), 1) {
  const std::size_t d_model = planes_.d_in;
  pool.parallel_for(planes_.num_strips, [&](std::size_t task) {
    const int strip = int(task), num_columns = std::min(kStrip, planes_.d_out - strip * kStrip);
    std::vector<float> rows(num_columns * d_model);
    f32.read(std::size_t(strip) * kStrip * d_model * sizeof(float), std::as_writable_bytes(std::span(rows)));

    for (int column = 0; column < num_columns; ++column) {
      const float* row = &rows[column * d_model];
      float largest = 0;
      for (std::size_t i = 0; i < d_model; ++i) largest = std::max(largest, std::abs(row[i]));
      const float scale = largest / float(kLargest);
      for (int plane = 0; plane < kNumPlanes; ++plane)
        planes_.scales(plane, strip, 0)[column] = scale * float(1 << (8 * (kNumPlanes - 1 - plane)));

      const double inverse = scale > 0 ? 1 / double(scale) : 0;
      for (std::size_t i = 0; i < d_model; ++i) {
        int value = std::clamp(int(std::lrint(row[i] * inverse)), -kLargest, kLargest);
        const std::size_t place = place_in_strip(int(i), column, planes_.group_quads());
        for (int plane = kNumPlanes - 1; plane >= 0; --plane) {
          const auto byte = std::int8_t(value);  // the lower eight bits, as a signed number
          planes_.weights(plane, strip, 0)[place] = byte;
          planes_.column_sums(plane, strip, 0)[column] += byte;
          value = (value - byte) >> 8;
        }
      }
    }
  });
}

void PackedTable::row(int token, float* out) const {
  const int strip = token / kStrip, column = token % kStrip;
  const float scale = planes_.scales(kNumPlanes - 1, strip, 0)[column];
  for (int i = 0; i < planes_.d_in; ++i) {
    const std::size_t place = place_in_strip(i, column, planes_.group_quads());
    int value = 0;
    for (int plane = 0; plane < kNumPlanes; ++plane) value = value * 256 + planes_.weights(plane, strip, 0)[place];
    out[i] = float(value) * scale;
  }
}

}  // namespace grok
