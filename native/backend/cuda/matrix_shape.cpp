#include "backend/cuda/matrix_shape.h"

namespace grok::cuda {

MatrixShape::MatrixShape(const Linear& stored)
    : num_experts(stored.num_experts),
      d_in(stored.d_in),
      d_out(stored.d_out),
      layout{.group_rows = stored.scheme.group_size, .num_groups = stored.num_groups},
      column_tiles((d_out + kTileColumns - 1) / kTileColumns) {}

MatrixShape::MatrixShape(int d_in, int d_out)
    : num_experts(1),
      d_in(d_in),
      d_out(d_out),
      layout{.group_rows = d_in, .num_groups = 1},
      column_tiles((d_out + kTileColumns - 1) / kTileColumns) {}

}  // namespace grok::cuda
