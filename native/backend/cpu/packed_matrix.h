#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cpu/host_memory.h"
#include "core/thread_pool.h"

namespace grok {

// Output columns that lie side by side in memory.
inline constexpr int kStrip = 32;

// An int8 matrix in strips of 32 output columns, the last one padded with zeros. Within a strip the input rows follow
// each other, so that a product reads memory front to back, and each weight is used for one output without any sum
// across a vector. The file's own order, [d_in, d_out], would make every read of a strip a jump of d_out bytes.
class PackedMatrix final : public Matrix {
 public:
  PackedMatrix(const QuantizedView& stored, ThreadPool& pool);
  static std::uint64_t size_bytes(const QuantizedView& stored);

  const std::int8_t* weights(int expert, int strip) const {  // [d_in, kStrip]
    return weights_.as<std::int8_t>() + (std::size_t(expert) * num_strips + strip) * d_in * kStrip;
  }
  const float* scales(int expert, int strip) const {  // [num_groups, kStrip]
    return scales_.as<float>() + (std::size_t(expert) * num_strips + strip) * num_groups * kStrip;
  }

  const int num_experts;
  const int d_in;
  const int d_out;
  const int num_groups;
  const int num_strips;

 private:
  HostMemory weights_;  // i8  [num_experts, num_strips, d_in, kStrip]
  HostMemory scales_;   // f32 [num_experts, num_strips, num_groups, kStrip]
};

}  // namespace grok
