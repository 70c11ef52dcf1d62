#pragma once

#include <cstddef>

namespace grok::platform {

// Memory from the system, page-aligned and zero until written; pages that are never touched cost nothing. Large amounts lie
// in whole pages of 2 MiB and are spread over all memory nodes, where the system has either.
class Pages {
 public:
  // No bytes: no memory. data() is null as well where the system refuses.
  explicit Pages(std::size_t size_bytes);
  ~Pages();
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  std::byte* data() const { return data_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t used_ = 0;  // bytes, in whole pages
};

}  // namespace grok::platform
