#pragma once

#include <cstddef>

#include "backend/backend.h"
#include "core/error.h"
#include "platform/pages.h"

namespace grok::cpu {

// Memory from the system: page-aligned, zero until written. Untouched pages take no memory.
class HostMemory final : public Buffer {
 public:
  explicit HostMemory(std::size_t size_bytes) : pages_(size_bytes), size_bytes_(size_bytes) {
    if (size_bytes > 0 && !pages_.data())
      throw Error(
          ErrorCode::out_of_memory, concat("the system refused ", size_bytes, " bytes of memory"),
          "Close other programs, use a shorter context, or raise a limit on memory (`ulimit -v`, `ulimit -d`).");
  }

  void* data() const override { return pages_.data(); }
  std::size_t size_bytes() const override { return size_bytes_; }

 private:
  platform::Pages pages_;
  std::size_t size_bytes_;
};

}  // namespace grok::cpu
