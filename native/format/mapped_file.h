#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/tensor.h"
#include "format/file_kind.h"
#include "platform/mapping.h"

namespace grok::format {

// A file mapped for reading. It holds address space but no file descriptor: a checkpoint has 770 files. If the file
// shrinks while it is mapped, reads give an error.
class MappedFile final : public ByteSource {
 public:
  // Throws not_found, io (unreadable, no regular file, out of descriptors or address space), bad_checkpoint (empty).
  explicit MappedFile(std::string path);

  void read(std::uint64_t offset, std::span<std::byte> out) const override;
  void read_rows(std::uint64_t offset, std::uint64_t stride, std::size_t row_bytes, std::size_t num_rows,
                 std::span<std::byte> out) const override;
  void fetch(std::uint64_t offset, std::uint64_t size_bytes) const override { mapping_.fetch(offset, size_bytes); }
  void drop(std::uint64_t offset, std::uint64_t size_bytes) const override { mapping_.drop(offset, size_bytes); }

  std::uint64_t size_bytes() const { return mapping_.size_bytes(); }  // at opening
  const std::string& path() const { return path_; }

 private:
  [[noreturn]] void throw_lost(std::uint64_t offset, std::uint64_t size_bytes) const;

  std::string path_;
  platform::Mapping mapping_;
};

// Throws bad_checkpoint if the file is of a known kind other than the expected one. `place` and `expected_name` appear
// in the message.
void refuse_other_kind(const MappedFile& file, Expected expected, const std::string& place, const char* expected_name);

}  // namespace grok::format
