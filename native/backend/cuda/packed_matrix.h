#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/backend.h"
#include "backend/cuda/device_memory.h"
#include "backend/cuda/matrix_shape.h"
#include "backend/cuda/stream.h"
#include "backend/cuda/upload.h"

namespace grok::cuda {

// An int8 matrix in tiles of 16 outputs x 32 inputs, 512 bytes each. A tile has the order in which a warp loads the
// left operand of mma m16n8k32: 16 bytes a lane. The tiles of one (expert, slice, 16 outputs) are adjacent along the
// input, so a product reads memory front to back. Inputs are padded to whole tiles and outputs to 16, with zeros.
class CudaMatrix final : public Matrix, public MatrixShape {
 public:
  // Reads the matrix. The device may still be copying and packing it afterwards.
  CudaMatrix(const Linear& stored, Upload& upload, DeviceScratch& scratch, Stream& stream);
  // Contents undefined; the caller fills it.
  explicit CudaMatrix(const MatrixShape& shape)
      : MatrixShape(shape), tiles_(tile_bytes()), scales_(num_scales() * sizeof(float)) {}

  const std::int8_t* tiles() const { return tiles_.as<std::int8_t>(); }  // [num_experts, num_tiles, column_tiles, 512]
  const float* scales() const { return scales_.as<float>(); }            // [num_experts, num_groups, column_tiles * 16]
  std::int8_t* tiles() { return tiles_.as<std::int8_t>(); }
  float* scales() { return scales_.as<float>(); }

 private:
  DeviceMemory tiles_;
  DeviceMemory scales_;
};

}  // namespace grok::cuda
