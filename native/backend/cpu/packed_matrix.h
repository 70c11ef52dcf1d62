#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cpu/host_memory.h"
#include "core/thread_pool.h"

namespace grok {

inline constexpr int kStrip = 32;            // output columns that are computed together
inline constexpr int kHalf = 16;             // columns of one vector of sums; a strip has two halves
inline constexpr int kQuad = 4;              // input rows whose weights of one column lie side by side
inline constexpr int kMaxGroupRows = 65536;  // 255 * 128 * 65536 is just below 2^31: sums of a group fit 32 bits
inline constexpr int kChunkRows = 64;        // input rows of one tile of weights

// An int8 matrix in the order in which products read it, front to back: strips of 32 output columns; in each strip the
// scale groups, cut in chunks of 64 input rows; in each chunk two halves of 16 columns; in each half the rows by four:
// four weights of one column, of the next, .. That is what a dot product of bytes takes (64 bytes: 4 rows of 16 columns)
// and what AMX takes as a tile (1 KiB: 64 rows of 16 columns). In the file's own order, [d_in, d_out], every read of a
// strip would be a jump of d_out bytes.
//
// A group's scales and the sums of its columns follow its weights: in a place of their own they would be a cache miss for
// each strip.
//
// The last strip is padded with columns of zeros, the last quad of each scale group with rows of zeros.
class PackedMatrix final : public Matrix {
 public:
  // Zeros.
  PackedMatrix(int num_experts, int d_in, int d_out, int num_groups);
  static std::uint64_t size_bytes(int num_experts, int d_in, int d_out, int num_groups);

  // Quads of one scale group, the last one padded.
  int group_quads() const { return quads_of(d_in / num_groups); }
  // [group_quads / 16 rounded up, 2, up to 16, kHalf, kQuad]
  std::int8_t* weights(int expert, int strip, int group) const {
    return memory_.as<std::int8_t>() +
           ((std::size_t(expert) * num_strips + strip) * num_groups + group) * group_bytes(d_in / num_groups);
  }
  // [kStrip]
  float* scales(int expert, int strip, int group) const {
    return reinterpret_cast<float*>(weights(expert, strip, group) + std::size_t(group_quads()) * kStrip * kQuad);
  }
  // [kStrip]: the sum of each column's weights in the group, for activations that are kept with an offset.
  std::int32_t* column_sums(int expert, int strip, int group) const {
    return reinterpret_cast<std::int32_t*>(scales(expert, strip, group) + kStrip);
  }

  static int quads_of(int num_rows) { return (num_rows + kQuad - 1) / kQuad; }

  const int num_experts;
  const int d_in;
  const int d_out;
  const int num_groups;
  const int num_strips;

 private:
  static std::size_t group_bytes(int group_rows) {
    return std::size_t(quads_of(group_rows)) * kStrip * kQuad + kStrip * (sizeof(float) + sizeof(std::int32_t));
  }

  HostMemory memory_;  // [num_experts, num_strips, num_groups] of weights, scales, column sums
};

std::unique_ptr<PackedMatrix> pack_matrix(const QuantizedView& stored, ThreadPool& pool);
std::uint64_t packed_bytes(const QuantizedView& stored);

}  // namespace grok
