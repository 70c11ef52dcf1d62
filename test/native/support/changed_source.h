#pragma once

#include <bit>
#include <cstring>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "core/error.h"
#include "format/tensor_source.h"
#include "support/made_up.h"

namespace grok::testing {

// The parameters of another source, with single numbers replaced.
class ChangedSource final : public format::TensorSource {
 public:
  explicit ChangedSource(std::unique_ptr<format::TensorSource> original)
      : original_(std::move(original)), parameters_(original_->parameters()) {}

  // Changes one of the scales if the parameter is quantized.
  void set(const std::string& name, std::size_t element, float value) {
    for (format::StoredParameter& parameter : parameters_)
      if (parameter.name == name) return set(parameter.scales ? *parameter.scales : parameter.weight, element, value);
    throw Error(ErrorCode::internal, name + ": no such parameter");
  }

  const std::vector<format::StoredParameter>& parameters() const override { return parameters_; }
  std::uint64_t size_bytes() const override { return original_->size_bytes(); }
  std::string description() const override { return original_->description(); }

 private:
  void set(TensorView& view, std::size_t element, float value) {
    std::vector<std::byte> bytes(view.size_bytes());
    view.read(0, bytes);
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const std::size_t size = size_of(view.dtype);  // bf16 is the upper half
    std::memcpy(&bytes[element * size], reinterpret_cast<const std::byte*>(&bits) + sizeof bits - size, size);
    view.source = &held_.emplace_back(bytes);
    view.offset = 0;
  }

  std::unique_ptr<format::TensorSource> original_;
  std::vector<format::StoredParameter> parameters_;
  std::deque<Bytes> held_;
};

}  // namespace grok::testing
