#include "backend/cuda/footprint.h"

#include "backend/cuda/activations.h"
#include "backend/cuda/packed_table.h"

namespace grok::cuda {
namespace {

// Memory that the driver needs besides the allocations. Memory comes in pages of 2 MiB, so each allocation may leave
// most of one unused (16 layers of Grok-1 have some 200 large ones). Kernels are loaded when they first run. An
// estimate: not yet measured on a device.
constexpr std::uint64_t kReserveBytes = std::uint64_t(512) << 20;

}  // namespace

std::uint64_t CudaFootprint::matrix_bytes(const Linear& stored) const {
  const MatrixShape shape(stored);
  return shape.tile_bytes() + shape.num_scales() * sizeof(float);
}

std::uint64_t CudaFootprint::table_bytes(const TensorView& f32) const {
  const MatrixShape shape = CudaTable::shape_of(int(f32.shape[0]), int(f32.shape[1]), num_limbs_);
  return shape.tile_bytes() + shape.num_scales() * sizeof(float);
}

std::uint64_t CudaFootprint::quantized_bytes(const QuantizedShape& shape) const {
  return CudaQuantizedRows::size_bytes(shape, num_limbs_);
}

std::uint64_t CudaFootprint::scratch_bytes(const StepSize& largest) const {
  return operation_bytes(largest) + batch_bytes(largest) + rotation_bytes(largest.num_positions, largest.head_dim);
}

std::uint64_t CudaFootprint::reserve_bytes() const { return kReserveBytes; }

}  // namespace grok::cuda
