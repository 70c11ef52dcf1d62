#include "backend/cuda/matrix_shape.h"

namespace grok::cuda {
namespace {

int axis_from_end(const TensorView& view, std::size_t from_end) {
  return int(view.shape[view.shape.size() - from_end]);
}

}  // namespace

MatrixShape::MatrixShape(const QuantizedView& stored)
    : num_experts(stored.weight.shape.size() == 3 ? int(stored.weight.shape[0]) : 1),
      d_in(axis_from_end(stored.weight, 2)),
      d_out(axis_from_end(stored.weight, 1)),
      layout{.group_rows = d_in / axis_from_end(stored.scales, 2), .num_groups = axis_from_end(stored.scales, 2)},
      column_tiles((d_out + kTileColumns - 1) / kTileColumns) {}

MatrixShape::MatrixShape(int d_in, int d_out)
    : num_experts(1),
      d_in(d_in),
      d_out(d_out),
      layout{.group_rows = d_in, .num_groups = 1},
      column_tiles((d_out + kTileColumns - 1) / kTileColumns) {}

}  // namespace grok::cuda
