#include "backend/cuda/footprint.h"

namespace grok {
namespace {

// The driver hands out memory in pages of 2 MiB, up to one of which an allocation leaves unused, and takes some for
// kernels when they are first run. Not measured yet: what Grok-1's largest slice on one GPU may lose that way, doubled.
constexpr std::uint64_t kReserveBytes = std::uint64_t(512) << 20;

}  // namespace

std::uint64_t CudaFootprint::matrix_bytes(const QuantizedView& stored) const {
  const MatrixShape shape(stored);
  return shape.tile_bytes() + shape.num_scales() * sizeof(float);
}

std::uint64_t CudaFootprint::table_bytes(const TensorView& f32) const { return f32.size_bytes(); }

std::uint64_t CudaFootprint::scratch_bytes(const StepSize& largest) const {
  return operation_bytes(largest) + batch_bytes(largest) + rotation_bytes(largest.num_positions, largest.head_dim);
}

std::uint64_t CudaFootprint::reserve_bytes() const { return kReserveBytes; }

}  // namespace grok
