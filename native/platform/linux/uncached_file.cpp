#include "platform/uncached_file.h"

#include <fcntl.h>
#include <unistd.h>

namespace grok::platform {

// O_DIRECT requires multiples of the disk's block size; kAlignment is one.
UncachedFile::UncachedFile(const std::string& folder)
    : handle_(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600)) {}

UncachedFile::~UncachedFile() {
  if (is_open()) ::close(int(handle_));
}

bool UncachedFile::write(std::uint64_t offset, std::span<const std::byte> bytes) const {
  return ::pwrite(int(handle_), bytes.data(), bytes.size(), off_t(offset)) == ssize_t(bytes.size());
}

bool UncachedFile::read(std::uint64_t offset, std::span<std::byte> bytes) const {
  return ::pread(int(handle_), bytes.data(), bytes.size(), off_t(offset)) == ssize_t(bytes.size());
}

bool UncachedFile::flush() const { return ::fdatasync(int(handle_)) == 0; }

}  // namespace grok::platform
