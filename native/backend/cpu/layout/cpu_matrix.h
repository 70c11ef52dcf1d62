#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/backend.h"
#include "backend/cpu/layout/scratch.h"

namespace grok::cpu {

inline constexpr int kStrip = 32;            // output columns that are computed together
inline constexpr int kHalf = 16;             // columns of one vector of sums; a strip has two halves
inline constexpr int kQuad = 4;              // input rows whose weights of one column are adjacent
inline constexpr int kMaxGroupRows = 65536;  // 255 * 128 * 65536 is just below 2^31: sums of a group fit 32 bits
// input rows of one tile of weights; activations are packed in chunks of this size
inline constexpr int kChunkRows = 64;

// An int8 matrix for products, packed or mapped.
// Products read packed weights front to back: strips of 32 output columns, and in each strip the scale groups. Each
// group has the rows by four, [quads, kStrip, kQuad]: four weights of one column, then four of the next. A dot product
// of bytes takes 64 bytes (4 rows of 16 columns). An AMX tile takes every second line of 16 quads (64 rows of 16
// columns). In the file's own order, [d_in, d_out], every read of a strip would jump d_out bytes.
// In the file's own order, [d_in, d_out], every read of a strip would jump d_out bytes.
class CpuMatrix : public Matrix {
 public:
  CpuMatrix(int num_experts, int d_in, int d_out, int num_groups);

  struct Rows {
    int expert = 0, group = 0;
    int first_row = 0, num_rows = 0;  // of the group; first_row starts a chunk
    int first_strip = 0, num_strips = 0;
  };
  struct PackedRows {
    const std::int8_t* weights = nullptr;  // of the first strip
    std::size_t strip_stride = 0;          // bytes from a strip to the next
  };
  // Valid until scratch.clear(). Throws io.
  virtual PackedRows rows(const Rows& wanted, Scratch& scratch) const = 0;
  // Whether rows() reads them from a file and packs them at each call.
  virtual bool is_mapped() const = 0;

  virtual const float* scales(int expert, int strip, int group) const = 0;  // [kStrip]
  // [kStrip]: the sum of each column's weights in the group, for activations that are stored with an offset. Null if it
  // is unknown before the weights are read.
  virtual const std::int32_t* column_sums(int expert, int strip, int group) const = 0;

  // Throws unsupported if a scale group has more than kMaxGroupRows inputs.
  static void require_summable(int group_rows);
  static int strips_of(int d_out) { return (d_out + kStrip - 1) / kStrip; }
  static int quads_of(int num_rows) { return (num_rows + kQuad - 1) / kQuad; }
  int group_rows() const { return d_in / num_groups; }
  int group_quads() const { return quads_of(group_rows()); }  // the last quad is padded

  const int num_experts;
  const int d_in;
  const int d_out;
  const int num_groups;
  const int num_strips;
};

}  // namespace grok::cpu
