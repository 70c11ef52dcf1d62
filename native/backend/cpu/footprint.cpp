#include "backend/cpu/footprint.h"

#include "backend/cpu/layout/kv_page.h"
#include "backend/cpu/layout/mapped_matrix.h"
#include "backend/cpu/layout/packed_matrix.h"
#include "backend/cpu/layout/packed_table.h"
#include "core/checked.h"

namespace grok::cpu {

std::uint64_t CpuFootprint::matrix_bytes(const Linear& stored) const {
  return weights_ == WeightStorage::mapped ? MappedMatrix::size_bytes(stored) : packed_bytes(stored);
}

std::uint64_t CpuFootprint::product_bytes(const Linear& stored) const {
  return matrix_bytes(stored) + (weights_ == WeightStorage::mapped ? stored.weight.size_bytes() : 0);
}

std::uint64_t CpuFootprint::table_bytes(const TensorView& f32) const { return PackedTable::size_bytes(f32); }

std::uint64_t CpuFootprint::head_bytes(const TensorView& f32) const {
  return PackedTable::size_bytes(f32) / PackedTable::kNumLimbs * kernels_.product.table_limbs;
}

std::uint64_t CpuFootprint::kv_page_bytes(KvCacheType type, int num_kv_heads, int head_dim) const {
  return checked_mul(std::uint64_t(num_kv_heads), kv_head_bytes(type, head_dim));
}

}  // namespace grok::cpu
