#pragma once

#include <cstddef>
#include <cstdint>

#include "platform/file.h"

namespace grok::platform {

// The bytes of a file, which need no memory until they are read. It holds no descriptor on a system that has mappings;
// on other systems it reads the file.
//
// A file can shrink while it is mapped, and an access past its end raises a signal that would end the process. So only
// copy() accesses the mapping, and it turns that fault into a return value.
class Mapping {
 public:
  // Maps the whole file, which is not empty. Throws out_of_memory for lack of address space, io.
  explicit Mapping(const InputFile& file);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  std::uint64_t size_bytes() const { return size_bytes_; }  // at opening

  // Copies rows at a distance of `stride` bytes to adjacent places at `to`. All rows lie within size_bytes(). Returns
  // false if bytes are gone from the file or cannot be read.
  [[nodiscard]] bool copy(std::byte* to, std::uint64_t offset, std::uint64_t stride, std::size_t row_bytes,
                          std::size_t num_rows) const;

  // Requests that the system read bytes ahead of a copy. Accepts any range. If the system refuses, copies are slower.
  void fetch(std::uint64_t offset, std::uint64_t size_bytes) const;
  // Releases memory that holds copies of whole pages. Accepts any range. If the system refuses, the memory stays in
  // use.
  void drop(std::uint64_t offset, std::uint64_t size_bytes) const;

 private:
  std::uint64_t size_bytes_;
  std::intptr_t handle_;  // of the system: an address, or an open file if there are no mappings
};

}  // namespace grok::platform
