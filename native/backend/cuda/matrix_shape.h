#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/backend.h"
#include "backend/cuda/input_layout.h"

namespace grok::cuda {

// Shape of a packed int8 matrix.
struct MatrixShape {
  explicit MatrixShape(const Linear& stored);
  MatrixShape(int d_in, int d_out);  // one expert and one scale group

  int num_experts;
  int d_in;
  int d_out;
  InputLayout layout;
  int column_tiles;

  std::size_t tile_bytes() const { return std::size_t(num_experts) * layout.num_tiles() * column_tiles * kTileBytes; }
  std::size_t num_scales() const { return std::size_t(num_experts) * layout.num_groups * column_tiles * kTileColumns; }
};

}  // namespace grok::cuda
