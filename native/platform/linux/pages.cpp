#include "platform/pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

#include "platform/linux/numa.h"

namespace grok::platform {

Pages::Pages(std::size_t size_bytes) {
  if (size_bytes == 0) return;
  // Weights are read front to back once a token, and the hardware prefetches only up to the end of a page. 2 MiB pages
  // are read up to twice as fast as 4 KiB pages. They start at multiples of 2 MiB, so large memory is aligned to them.
  constexpr std::size_t kHugePage = std::size_t(2) << 20, kSmall = kHugePage / 8;
  const bool is_small = size_bytes < kSmall;
  const std::size_t page = is_small ? std::size_t(sysconf(_SC_PAGESIZE)) : kHugePage;
  const std::size_t used = (size_bytes + page - 1) / page * page, slack = is_small ? 0 : kHugePage;
  void* const mapped =
      mmap(nullptr, used + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return;
  data_ = static_cast<std::byte*>(mapped);
  used_ = used;
  if (is_small) return;
  const std::size_t before = (kHugePage - reinterpret_cast<std::uintptr_t>(mapped) % kHugePage) % kHugePage;
  data_ += before;
  if (before > 0) munmap(mapped, before);
  if (before < slack) munmap(data_ + used, slack - before);
  madvise(data_, used, MADV_HUGEPAGE);  // only a hint
  interleave_over_nodes(data_, used);
}

Pages::~Pages() {
  if (data_) munmap(data_, used_);
}

}  // namespace grok::platform
