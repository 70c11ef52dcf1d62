#include "model/finite_source.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "core/finite.h"

namespace grok::model {
namespace {

Shape index_of(std::uint64_t element, const Shape& shape) {
  Shape index(shape.size());
  for (std::size_t axis = shape.size(); axis-- > 0; element /= shape[axis]) index[axis] = element % shape[axis];
  return index;
}

}  // namespace

FiniteSource::FiniteSource(const TensorView& stored, std::string where, const char* values)
    : stored_(stored), where_(std::move(where)), values_(values) {}

TensorView FiniteSource::view() const {
  TensorView checked = stored_;
  checked.source = this;
  return checked;
}

void FiniteSource::read(std::uint64_t offset, std::span<std::byte> out) const {
  stored_.source->read(offset, out);
  const std::size_t size = size_of(stored_.dtype);
  const bool is_f32 = stored_.dtype == DType::f32;
  const std::size_t element = is_f32 ? first_not_finite<std::uint32_t>(out) : first_not_finite<std::uint16_t>(out);
  if (element == out.size() / size) return;
  std::uint32_t bits = 0;  // bf16 is the upper half of f32
  std::memcpy(reinterpret_cast<std::byte*>(&bits) + sizeof(bits) - size, &out[element * size], size);
  refuse((offset - stored_.offset) / size + element, std::bit_cast<float>(bits));
}

void FiniteSource::fetch(std::uint64_t offset, std::uint64_t size_bytes) const {
  stored_.source->fetch(offset, size_bytes);
}

void FiniteSource::drop(std::uint64_t offset, std::uint64_t size_bytes) const {
  stored_.source->drop(offset, size_bytes);
}

void FiniteSource::refuse(std::uint64_t element, float value) const {
  const char* const found = std::isnan(value) ? "NaN" : value > 0 ? "infinity" : "-infinity";
  throw Error(ErrorCode::bad_checkpoint,
              concat(where_, ": expected finite ", values_, ", found ", found, " at ",
                     to_string(index_of(element, stored_.shape))),
              "The file is damaged, or the program that wrote it overflowed: download or convert it again.");
}

}  // namespace grok::model
