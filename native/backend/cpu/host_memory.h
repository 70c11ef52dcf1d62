#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

#include "backend/backend.h"
#include "platform/linux/numa.h"

namespace grok {

// Memory from the system, page-aligned and zero until written; pages that are never touched cost nothing.
class HostMemory final : public Buffer {
 public:
  explicit HostMemory(std::size_t size_bytes) : size_bytes_(size_bytes) {
    if (size_bytes == 0) return;
    // Weights are read front to back once a token, and hardware fetches ahead to the end of a page: 2 MiB pages, which start
    // at multiples of 2 MiB, are read at up to twice the speed of 4 KiB ones, so what is not small has only such pages.
    constexpr std::size_t kHugePage = std::size_t(2) << 20, kSmall = kHugePage / 8;
    const bool is_small = size_bytes < kSmall;
    const std::size_t page = is_small ? std::size_t(sysconf(_SC_PAGESIZE)) : kHugePage;
    const std::size_t used = (size_bytes + page - 1) / page * page, slack = is_small ? 0 : kHugePage;
    void* const mapped =
        mmap(nullptr, used + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED)
      throw Error(ErrorCode::out_of_memory, concat("the system refused ", size_bytes, " bytes of memory"),
                  "close other programs, or use a shorter context (--context-size)");
    data_ = static_cast<std::byte*>(mapped);
    used_ = used;
    if (is_small) return;
    const std::size_t before = (kHugePage - reinterpret_cast<std::uintptr_t>(mapped) % kHugePage) % kHugePage;
    data_ += before;
    if (before > 0) munmap(mapped, before);
    if (before < slack) munmap(data_ + used, slack - before);
    madvise(data_, used, MADV_HUGEPAGE);  // only advice
    platform::interleave_over_nodes(data_, used);
  }
  ~HostMemory() override {
    if (data_) munmap(data_, used_);
  }
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;

  void* data() const override { return data_; }
  std::size_t size_bytes() const override { return size_bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_bytes_;
  std::size_t used_ = 0;  // size_bytes_ in whole pages
};

}  // namespace grok
