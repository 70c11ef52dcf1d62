#pragma once

#include <cstdint>
#include <memory>

#include "backend/cpu/layout/cpu_matrix.h"
#include "backend/cpu/layout/host_memory.h"

namespace grok::cpu {

// A matrix whose weights stay in their source, which must outlive it. Each product reads and packs the rows that it
// needs.
class MappedMatrix final : public CpuMatrix {
 public:
  explicit MappedMatrix(const Linear& stored);  // reads the scales
  static std::uint64_t size_bytes(const Linear& stored);

  PackedRows rows(const Rows& wanted, Scratch& scratch) const override;
  bool is_mapped() const override { return true; }
  const float* scales(int expert, int strip, int group) const override { return scales_place(expert, strip, group); }
  // Null: computing them would need a pass over the whole matrix.
  const std::int32_t* column_sums(int, int, int) const override { return nullptr; }

 private:
  float* scales_place(int expert, int strip, int group) const {
    return scales_.as<float>() + ((std::size_t(expert) * num_groups + group) * num_strips + strip) * kStrip;
  }

  const TensorView weight_;  // i8 [num_experts?, d_in, d_out]
  HostMemory scales_;        // f32 [num_experts, num_groups, num_strips, kStrip]
};

}  // namespace grok::cpu
