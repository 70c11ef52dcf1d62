#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace grok::platform {

// A file without a name on the disk of a folder, for measurements: reads and writes go past the page cache. It goes away
// with this object. Addresses, sizes and offsets are multiples of kAlignment.
class UncachedFile {
 public:
  static constexpr std::size_t kAlignment = 4096;

  // Not open where the folder takes no such file.
  explicit UncachedFile(const std::string& folder);
  ~UncachedFile();
  UncachedFile(const UncachedFile&) = delete;
  UncachedFile& operator=(const UncachedFile&) = delete;

  bool is_open() const { return handle_ >= 0; }
  // False where not all bytes were moved.
  bool write(std::uint64_t offset, std::span<const std::byte> bytes) const;
  bool read(std::uint64_t offset, std::span<std::byte> bytes) const;
  // Returns when all that was written has reached the disk; false where the system says that it did not.
  bool flush() const;

 private:
  std::intptr_t handle_;  // the system's; negative: not open
};

}  // namespace grok::platform
