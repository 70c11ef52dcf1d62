#pragma once

#include "backend/cuda/packed_matrix.h"

namespace grok::cuda {

// The token embedding, and the head that is tied to it, as integers with a scale for each row, as activations are:
// w = scale * (w0 + 256 w1 (+ 65536 w2)). Each digit of a row is a column of one matrix, with a scale of its own; the
// products of a row's columns add up to the row's. A row that holds an infinity or a NaN gets a NaN for a scale.
class CudaTable final : public Table {
 public:
  // Reads f32 [vocab_size, d_model]; the device may still be copying and packing what was read.
  CudaTable(const TensorView& f32, int num_digits, Upload& upload, DeviceScratch& scratch, Stream& stream);
  static MatrixShape shape_of(int vocab_size, int d_model, int num_digits);

  const CudaMatrix& columns() const { return columns_; }  // [d_model, whole tiles of vocab_size, num_digits in turn]

  const int vocab_size;
  const int d_model;

 private:
  CudaMatrix columns_;
};

// ---------------------------------------------------------------- on the device

// The column of a row's digit: of 16 rows the lowest digits, then the next, then those of 16 more rows.
template <int kDigits>
__device__ int digit_column(int row, int digit) {
  return (row / kTileColumns * kDigits + digit) * kTileColumns + row % kTileColumns;
}

// Where a tile lies among those of a matrix with one scale group.
__device__ inline std::size_t place_of_tile(const InputLayout& layout, int column_tiles, int row_tile,
                                            int column_tile) {
  const int slice = row_tile / kSliceTiles;
  return std::size_t(layout.first_tile(slice)) * column_tiles + std::size_t(column_tile) * layout.tiles_of(slice) +
         row_tile % kSliceTiles;
}

}  // namespace grok::cuda
