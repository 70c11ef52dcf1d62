#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/backend.h"

// Memory layout of one kv head's share of a page.
//
//   keys    [kPageSize / kKeyGroup, head_dim, kKeyGroup]: positions side by side, so that a vector of logits is summed
//           over head_dim without any sum across a vector
//   values  [kPageSize, kv_width]: positions one after another, so that an output vector is summed over positions
//
// Int8 keys and int8 values are each followed by their scales: f32 [kPageSize].
namespace grok::cpu {

inline constexpr int kKeyGroup = 16;

// head_dim rounded up to whole vectors of any instruction set.
constexpr int kv_width(int head_dim) { return (head_dim + 15) / 16 * 16; }

// Elements of one head's keys, and of its values, in one page.
constexpr std::size_t kv_head_elements(int head_dim) { return std::size_t(kPageSize) * kv_width(head_dim); }

// Bytes of those elements, scales included.
constexpr std::size_t kv_head_bytes(KvCacheType type, int head_dim) {
  switch (type) {
    case KvCacheType::f32: return kv_head_elements(head_dim) * sizeof(float);
    case KvCacheType::bf16: return kv_head_elements(head_dim) * sizeof(std::uint16_t);
    case KvCacheType::int8: break;
  }
  return kv_head_elements(head_dim) + kPageSize * sizeof(float);
}

// Offset of the key of a position. The next value of the same key lies kKeyGroup elements further.
constexpr std::size_t key_offset(int position_in_page, int head_dim) {
  return std::size_t(position_in_page / kKeyGroup) * head_dim * kKeyGroup + position_in_page % kKeyGroup;
}

constexpr std::size_t value_offset(int position_in_page, int head_dim) {
  return std::size_t(position_in_page) * kv_width(head_dim);
}

// One position of one kv head.
struct KvPlace {
  int page = 0;
  int position_in_page = 0;
  int head = 0;
  int num_heads = 0;
  int head_dim = 0;
};

// key and value are [head_dim].
void write_kv(const KvPages& kv, const KvPlace& to, const float* key, const float* value);
void read_kv(const KvPages& kv, const KvPlace& from, float* key, float* value);

}  // namespace grok::cpu
