#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace grok {

// Returns the index of the first NaN or infinity, or the number of elements if all are finite. Bits is uint32_t for f32
// and uint16_t for bf16. A value is not finite if all bits of its exponent are set. Every element is read, so that the
// compiler can vectorise the loop.
template <typename Bits>
std::size_t first_not_finite(std::span<const std::byte> bytes) {
  constexpr Bits kExponent = sizeof(Bits) == 2 ? 0x7F80 : 0x7F800000;
  const std::size_t num_elements = bytes.size() / sizeof(Bits);
  const auto is_finite = [&](std::size_t element) {
    Bits bits;
    std::memcpy(&bits, bytes.data() + element * sizeof(Bits), sizeof(Bits));
    return (bits & kExponent) != kExponent;
  };
  bool all_finite = true;
  for (std::size_t element = 0; element < num_elements; ++element) all_finite &= is_finite(element);
  if (all_finite) return num_elements;
  std::size_t element = 0;
  while (is_finite(element)) ++element;
  return element;
}

inline bool all_finite(std::span<const float> values) {
  return first_not_finite<std::uint32_t>(std::as_bytes(values)) == values.size();
}

}  // namespace grok
