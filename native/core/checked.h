#pragma once

#include <cstdint>

#include "core/error.h"

// The only way to compute a byte count from numbers that a file or a caller supplied. `code` names their origin:
// bad_checkpoint for a file, out_of_memory if one of them is an option.
namespace grok {

inline std::uint64_t checked_mul(std::uint64_t a, std::uint64_t b, ErrorCode code = ErrorCode::bad_checkpoint) {
  std::uint64_t product;
  if (__builtin_mul_overflow(a, b, &product)) throw Error(code, concat("the size ", a, " x ", b, " exceeds 64 bits"));
  return product;
}

inline std::uint64_t checked_add(std::uint64_t a, std::uint64_t b, ErrorCode code = ErrorCode::bad_checkpoint) {
  std::uint64_t sum;
  if (__builtin_add_overflow(a, b, &sum)) throw Error(code, concat("the size ", a, " + ", b, " exceeds 64 bits"));
  return sum;
}

}  // namespace grok
