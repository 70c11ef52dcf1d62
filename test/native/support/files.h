#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>

#include "core/error.h"

// Files that tests write.
namespace grok::testing {

// A directory that is deleted with all of its contents.
class TempDirectory {
 public:
  TempDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "grok-run-test-XXXXXX").string();
    if (!::mkdtemp(pattern.data())) throw Error(ErrorCode::io, "cannot make a temporary directory");
    path_ = pattern;
  }
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Writes from front to back; holes take no space on the disk.
class OutputFile {
 public:
  explicit OutputFile(const std::string& path) : path_(path) {
    descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (descriptor_ < 0) throw Error(ErrorCode::io, path + ": cannot be written");
  }
  ~OutputFile() { ::close(descriptor_); }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
      if (count <= 0) throw Error(ErrorCode::io, path_ + ": cannot be written");
      bytes = bytes.subspan(std::size_t(count));
    }
  }
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  void skip(std::uint64_t size_bytes) {
    const off_t end = ::lseek(descriptor_, off_t(size_bytes), SEEK_CUR);
    if (end < 0 || ::ftruncate(descriptor_, end) != 0) throw Error(ErrorCode::io, path_ + ": cannot be extended");
  }

 private:
  std::string path_;
  int descriptor_ = -1;
};

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(ErrorCode::not_found, path + ": cannot be opened");
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_file(const std::string& path, std::string_view content) { OutputFile(path).write(content); }

}  // namespace grok::testing
