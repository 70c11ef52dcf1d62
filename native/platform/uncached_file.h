#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace grok::platform {

// An anonymous file on the disk of a folder, for measurements: reads and writes bypass the page cache. It is deleted
// with this object. Addresses, sizes and offsets are multiples of kAlignment.
class UncachedFile {
 public:
  static constexpr std::size_t kAlignment = 4096;

  // Not open if the folder does not support such a file.
  explicit UncachedFile(const std::string& folder);
  ~UncachedFile();
  UncachedFile(const UncachedFile&) = delete;
  UncachedFile& operator=(const UncachedFile&) = delete;

  bool is_open() const { return handle_ >= 0; }
  // False if not all bytes were transferred.
  bool write(std::uint64_t offset, std::span<const std::byte> bytes) const;
  bool read(std::uint64_t offset, std::span<std::byte> bytes) const;
  // Returns after all written data has reached the disk; false if the system reports that it has not.
  bool flush() const;

 private:
  std::intptr_t handle_;  // of the system; negative: not open
};

}  // namespace grok::platform
