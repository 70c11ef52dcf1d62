#pragma once

#include "backend/cuda/packed_matrix.h"

namespace grok::cuda {

// The token embedding, and the head that is tied to it, as integers with a scale for each row, like activations: w =
// scale * (w0 + 256 w1 (+ 65536 w2)). Each limb of a row is a column of one matrix, with its own scale. The sum of the
// products of a row's columns is the row's product. A row with an infinity or a NaN gets a NaN as its scale.
class CudaTable final : public Table {
 public:
  // Reads f32 [vocab_size, d_model]. The device may still be copying and packing it afterwards.
  CudaTable(const TensorView& f32, int num_limbs, Upload& upload, DeviceScratch& scratch, Stream& stream);
  static MatrixShape shape_of(int vocab_size, int d_model, int num_limbs);

  const CudaMatrix& columns() const { return columns_; }  // [d_model, whole tiles of vocab_size, num_limbs in turn]

  const int vocab_size;
  const int d_model;

 private:
  CudaMatrix columns_;
};

// ---------------------------------------------------------------- on the device

// The column of a row's limb: the lowest limbs of 16 rows, then their next limbs, then those of 16 more rows.
template <int kLimbs>
__device__ int limb_column(int row, int limb) {
  return (row / kTileColumns * kLimbs + limb) * kTileColumns + row % kTileColumns;
}

// Index of a tile in a matrix with one scale group.
__device__ inline std::size_t place_of_tile(const InputLayout& layout, int column_tiles, int row_tile,
                                            int column_tile) {
  const int slice = row_tile / kSliceTiles;
  return std::size_t(layout.first_tile(slice)) * column_tiles + std::size_t(column_tile) * layout.tiles_of(slice) +
         row_tile % kSliceTiles;
}

}  // namespace grok::cuda
