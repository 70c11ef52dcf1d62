#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "backend/cpu/layout/cpu_matrix.h"
#include "backend/cpu/layout/host_memory.h"
#include "threads/thread_pool.h"

namespace grok::cpu {

// A matrix stored in the order in which products read it, front to back.
//
// A group's scales and column sums follow its weights: stored elsewhere they would cost a cache miss for each strip.
//
// The last strip is padded with columns of zeros, the last quad of each scale group with rows of zeros.
class PackedMatrix final : public CpuMatrix {
 public:
  // Creates a matrix of zeros.
  PackedMatrix(int num_experts, int d_in, int d_out, int num_groups);
  static std::uint64_t size_bytes(int num_experts, int d_in, int d_out, int num_groups);

  // Returns pointers into this matrix: nothing is copied.
  PackedRows rows(const Rows& wanted, Scratch&) const override {
    return {weights(wanted.expert, wanted.first_strip, wanted.group) + std::size_t(wanted.first_row) * kStrip,
            num_groups * group_bytes(group_rows())};
  }
  bool is_mapped() const override { return false; }

  // [group_quads, kStrip, kQuad]
  std::int8_t* weights(int expert, int strip, int group) { return place(expert, strip, group); }
  const std::int8_t* weights(int expert, int strip, int group) const { return place(expert, strip, group); }
  float* scales(int expert, int strip, int group) { return scales_place(expert, strip, group); }
  const float* scales(int expert, int strip, int group) const override { return scales_place(expert, strip, group); }
  std::int32_t* column_sums(int expert, int strip, int group) { return sums_place(expert, strip, group); }
  const std::int32_t* column_sums(int expert, int strip, int group) const override {
    return sums_place(expert, strip, group);
  }

 private:
  static std::size_t group_bytes(int group_rows) {
    return std::size_t(quads_of(group_rows)) * kStrip * kQuad + kStrip * (sizeof(float) + sizeof(std::int32_t));
  }
  std::int8_t* place(int expert, int strip, int group) const {
    return memory_.as<std::int8_t>() +
           ((std::size_t(expert) * num_strips + strip) * num_groups + group) * group_bytes(group_rows());
  }
  float* scales_place(int expert, int strip, int group) const {
    return reinterpret_cast<float*>(place(expert, strip, group) + std::size_t(group_quads()) * kStrip * kQuad);
  }
  std::int32_t* sums_place(int expert, int strip, int group) const {
    return reinterpret_cast<std::int32_t*>(scales_place(expert, strip, group) + kStrip);
  }

  HostMemory memory_;  // [num_experts, num_strips, num_groups] of weights, scales, column sums
};

std::unique_ptr<PackedMatrix> pack_matrix(const Linear& stored, threads::ThreadPool& pool);
std::uint64_t packed_bytes(const Linear& stored);

}  // namespace grok::cpu
