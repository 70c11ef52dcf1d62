#pragma once

#include <cstddef>
#include <cstdint>

#include "platform/file.h"

namespace grok::platform {

// The bytes of a file, which need no memory until they are read. It holds no descriptor on a system that has mappings; one
// that has none reads the file.
//
// A file can shrink while it is mapped, and touching what is gone raises a signal that would end the whole process. So
// nothing but copy() touches the mapping, and copy() turns that fault into an answer.
class Mapping {
 public:
  // Of the whole file, which is not empty. Throws out_of_memory for lack of address space, io.
  explicit Mapping(const InputFile& file);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  std::uint64_t size_bytes() const { return size_bytes_; }  // when the file was opened

  // Copies rows that lie `stride` bytes apart, one after another to `to`. All of them lie within size_bytes(). Returns
  // false when bytes are gone from the file or cannot be read.
  [[nodiscard]] bool copy(std::byte* to, std::uint64_t offset, std::uint64_t stride, std::size_t row_bytes,
                          std::size_t num_rows) const;

  // Asks the system to read bytes ahead of a copy. Any range is allowed. A refusal costs time, not correctness.
  void fetch(std::uint64_t offset, std::uint64_t size_bytes) const;
  // Gives back memory that holds copies of whole pages. Any range is allowed. A refusal costs memory, not correctness.
  void drop(std::uint64_t offset, std::uint64_t size_bytes) const;

 private:
  std::uint64_t size_bytes_;
  std::intptr_t handle_;  // the system's: an address, or an open file where there are no mappings
};

}  // namespace grok::platform
