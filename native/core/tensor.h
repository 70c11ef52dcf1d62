#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/checked.h"
#include "core/dtype.h"

namespace grok {

// Row-major: the last axis is contiguous.
using Shape = std::vector<std::uint64_t>;

inline std::uint64_t num_elements(const Shape& shape) {
  std::uint64_t count = 1;
  for (const std::uint64_t size : shape) count = checked_mul(count, size);
  return count;
}

inline std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (std::size_t axis = 0; axis < shape.size(); ++axis) text += (axis ? ", " : "") + std::to_string(shape[axis]);
  return text + "]";
}

// A source of bytes: a mapped file, or synthetic numbers for a benchmark.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Copies out.size() bytes that start at `offset`. Safe from several threads. Throws io.
  virtual void read(std::uint64_t offset, std::span<std::byte> out) const = 0;
  // The same for num_rows rows of row_bytes that start at `offset` at a distance of `stride`. They are adjacent in
  // `out`.
  virtual void read_rows(std::uint64_t offset, std::uint64_t stride, std::size_t row_bytes, std::size_t num_rows,
                         std::span<std::byte> out) const {
    for (std::size_t row = 0; row < num_rows; ++row)
      read(offset + row * stride, out.subspan(row * row_bytes, row_bytes));
  }
  // These bytes will be read soon: starts reading them from the disk.
  virtual void fetch(std::uint64_t /*offset*/, std::uint64_t /*size_bytes*/) const {}
  // These bytes were read and are not needed again: their memory may be released.
  virtual void drop(std::uint64_t /*offset*/, std::uint64_t /*size_bytes*/) const {}
};

// A tensor in a ByteSource. It owns nothing, and its bytes are unaligned: they must be copied before use.
struct TensorView {
  DType dtype = DType::f32;
  Shape shape;
  const ByteSource* source = nullptr;
  std::uint64_t offset = 0;  // bytes into the source

  std::uint64_t size_bytes() const { return checked_mul(num_elements(shape), size_of(dtype)); }
  void read(std::uint64_t start, std::span<std::byte> out) const { source->read(offset + start, out); }
  void read_rows(std::uint64_t start, std::uint64_t stride, std::size_t row_bytes, std::size_t num_rows,
                 std::span<std::byte> out) const {
    source->read_rows(offset + start, stride, row_bytes, num_rows, out);
  }
  void fetch(std::uint64_t start, std::uint64_t size_bytes) const { source->fetch(offset + start, size_bytes); }
  void drop() const { source->drop(offset, size_bytes()); }
};

// The quantization of a matrix: integers of `bits`, and one scale for `group_size` input rows of a column.
struct QuantScheme {
  int bits = 8;
  int group_size = 0;

  bool operator==(const QuantScheme&) const = default;
};

// A stored matrix, or one for each expert, with its scales, in the format of ckpt-0:
// W[.., k, n] = weight[.., k, n] * scales[.., k / group_size, n].
struct Linear {
  Linear() = default;
  Linear(TensorView stored_weight, TensorView stored_scales)
      : weight(std::move(stored_weight)), scales(std::move(stored_scales)) {
    const auto from_end = [](const Shape& shape, std::size_t axis) { return int(shape[shape.size() - axis]); };
    num_experts = weight.shape.size() == 3 ? int(weight.shape[0]) : 1;
    d_in = from_end(weight.shape, 2);
    d_out = from_end(weight.shape, 1);
    num_groups = from_end(scales.shape, 2);
    scheme = {.bits = 8 * int(size_of(weight.dtype)), .group_size = d_in / num_groups};
  }

  TensorView weight;  // i8   [num_experts?, d_in, d_out]
  TensorView scales;  // bf16 [num_experts?, num_groups, d_out]
  int num_experts = 1, d_in = 0, d_out = 0, num_groups = 1;
  QuantScheme scheme;
};

}  // namespace grok
