#pragma once

#include <cstddef>

#include "backend/backend.h"

// How one kv head's share of a page lies in memory.
//
//   keys    [kPageSize / kKeyGroup, head_dim, kKeyGroup]: positions side by side, so that a vector of logits is summed
//           over head_dim without any sum across a vector
//   values  [kPageSize, kv_width]: positions one after another, so that a vector of the mix is summed over positions
namespace grok {

inline constexpr int kKeyGroup = 16;

// head_dim in whole vectors, whatever the instruction set.
constexpr int kv_width(int head_dim) { return (head_dim + 15) / 16 * 16; }

// Elements of one head's keys, and of its values, in one page.
constexpr std::size_t kv_head_elements(int head_dim) { return std::size_t(kPageSize) * kv_width(head_dim); }

// Where the key of a position starts. The next value of the same key lies kKeyGroup elements further.
constexpr std::size_t key_offset(int position_in_page, int head_dim) {
  return std::size_t(position_in_page / kKeyGroup) * head_dim * kKeyGroup + position_in_page % kKeyGroup;
}

constexpr std::size_t value_offset(int position_in_page, int head_dim) {
  return std::size_t(position_in_page) * kv_width(head_dim);
}

}  // namespace grok
