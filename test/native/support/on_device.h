#pragma once

#include <vector>

#include "backend/backend.h"
#include "support/made_up.h"

// Copies numbers to a backend's memory and back.
namespace grok::testing {

inline BufferPtr on_device(Backend& backend, const std::vector<float>& values) {
  const Bytes source(values);
  return backend.load_vector({DType::f32, {values.size()}, &source, 0});
}

// [size], NaN until the backend writes it.
inline BufferPtr unwritten(Backend& backend, std::size_t size) {
  return on_device(backend, std::vector<float>(size, std::nanf("")));
}

inline std::vector<float> read_floats(Backend& backend, const Buffer& buffer) {
  std::vector<float> values(buffer.size_bytes() / sizeof(float));
  backend.read(std::span(values), buffer.as<float>());
  return values;
}

inline std::vector<std::int32_t> read_ints(Backend& backend, const Buffer& buffer) {
  std::vector<std::int32_t> values(buffer.size_bytes() / sizeof(std::int32_t));
  backend.read(std::span(values), buffer.as<std::int32_t>());
  return values;
}

}  // namespace grok::testing
