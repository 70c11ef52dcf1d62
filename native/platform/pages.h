#pragma once

#include <cstddef>

namespace grok::platform {

// Memory from the system: page-aligned, zero until written. Untouched pages take no memory. If the system supports it,
// large amounts use pages of 2 MiB and are spread over all memory nodes.
class Pages {
 public:
  // data() is null for 0 bytes, or if the system refuses.
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
