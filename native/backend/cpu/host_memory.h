#pragma once

#include <sys/mman.h>

#include <cstddef>

#include "backend/backend.h"

namespace grok {

// Memory from the system, page-aligned and zero until written; pages that are never touched cost nothing.
class HostMemory final : public Buffer {
 public:
  explicit HostMemory(std::size_t size_bytes) : size_bytes_(size_bytes) {
    if (size_bytes == 0) return;
    data_ = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data_ == MAP_FAILED) {
      data_ = nullptr;
      throw Error(ErrorCode::out_of_memory, concat("the system refused ", size_bytes, " bytes of memory"),
                  "close other programs, or use a shorter context (--context-size)");
    }
    // Weights are read front to back once a token: fewer TLB misses with 2 MiB pages. Only advice.
    if (size_bytes >= (std::size_t(4) << 20)) madvise(data_, size_bytes, MADV_HUGEPAGE);
  }
  ~HostMemory() override {
    if (data_) munmap(data_, size_bytes_);
  }
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;

  void* data() const override { return data_; }
  std::size_t size_bytes() const override { return size_bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t size_bytes_;
};

}  // namespace grok
