#pragma once

#include <cuda_runtime.h>

namespace grok::cuda {

inline constexpr int kTileRows = 32;     // inputs of one matrix instruction (mma m16n8k32)
inline constexpr int kTileColumns = 16;  // outputs of one matrix instruction
inline constexpr int kTileBytes = kTileRows * kTileColumns;
inline constexpr int kSliceTiles = 32;  // tiles along the input that are summed as integers: 1024 inputs
inline constexpr int kSliceRows = kSliceTiles * kTileRows;

// Division of a matrix's inputs. Each scale group is padded to whole tiles and divided into slices. Within a slice a
// weight has one scale and an activation has one scale, so the slice is a sum of integers: exact in any order.
struct InputLayout {
  int group_rows = 0;  // inputs that share a weight scale
  int num_groups = 0;

  __host__ __device__ int tiles_per_group() const { return (group_rows + kTileRows - 1) / kTileRows; }
  __host__ __device__ int slices_per_group() const { return (tiles_per_group() + kSliceTiles - 1) / kSliceTiles; }
  __host__ __device__ int num_tiles() const { return num_groups * tiles_per_group(); }
  __host__ __device__ int num_slices() const { return num_groups * slices_per_group(); }
  __host__ __device__ int padded_rows() const { return num_tiles() * kTileRows; }
  __host__ __device__ int d_in() const { return num_groups * group_rows; }

  __host__ __device__ int group_of(int slice) const { return slice / slices_per_group(); }
  __host__ __device__ int first_tile(int slice) const {
    return group_of(slice) * tiles_per_group() + slice % slices_per_group() * kSliceTiles;
  }
  __host__ __device__ int tiles_of(int slice) const {
    const int left = tiles_per_group() - slice % slices_per_group() * kSliceTiles;
    return left < kSliceTiles ? left : kSliceTiles;
  }
  // The number of inputs of a slice, without the padding.
  __host__ __device__ int first_row(int slice) const {
    return group_of(slice) * group_rows + slice % slices_per_group() * kSliceRows;
  }
  __host__ __device__ int rows_of(int slice) const {
    const int left = group_rows - slice % slices_per_group() * kSliceRows;
    return left < kSliceRows ? left : kSliceRows;
  }

  bool operator==(const InputLayout&) const = default;
};

}  // namespace grok::cuda
