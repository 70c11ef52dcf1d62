#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

#include "backend/backend.h"

namespace grok {

// Memory from the system, page-aligned and zero until written; pages that are never touched cost nothing.
class HostMemory final : public Buffer {
 public:
  explicit HostMemory(std::size_t size_bytes) : size_bytes_(size_bytes) {
    if (size_bytes == 0) return;
    // Weights are read front to back once a token: fewer TLB misses with 2 MiB pages, which start at multiples of 2 MiB.
    constexpr std::size_t kHugePage = std::size_t(2) << 20;
    const std::size_t page = std::size_t(sysconf(_SC_PAGESIZE)), used = (size_bytes + page - 1) / page * page;
    const std::size_t slack = used >= kHugePage ? kHugePage : 0;
    void* const mapped =
        mmap(nullptr, used + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED)
      throw Error(ErrorCode::out_of_memory, concat("the system refused ", size_bytes, " bytes of memory"),
                  "close other programs, or use a shorter context (--context-size)");
    data_ = static_cast<std::byte*>(mapped);
    if (slack == 0) return;
    const std::size_t before = (kHugePage - reinterpret_cast<std::uintptr_t>(mapped) % kHugePage) % kHugePage;
    data_ += before;
    if (before > 0) munmap(mapped, before);
    if (before < slack) munmap(data_ + used, slack - before);
    madvise(data_, used, MADV_HUGEPAGE);  // only advice
  }
  ~HostMemory() override {
    if (data_) munmap(data_, size_bytes_);
  }
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;

  void* data() const override { return data_; }
  std::size_t size_bytes() const override { return size_bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_bytes_;
};

}  // namespace grok
