#pragma once

#include <cstring>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/tensor.h"

namespace grok::testing {

// A "file" in memory that a test can damage. A read past its end, which a reader must never try, is an internal error.
class HeldBytes final : public ByteSource {
 public:
  explicit HeldBytes(std::string bytes) : bytes(std::move(bytes)) {}

  void read(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset > bytes.size() || out.size() > bytes.size() - offset)
      throw Error(ErrorCode::internal, concat("read ", out.size(), " bytes at ", offset, " of ", bytes.size()));
    std::memcpy(out.data(), bytes.data() + offset, out.size());
  }

  std::uint64_t size_bytes() const { return bytes.size(); }

  std::string bytes;
};

}  // namespace grok::testing
