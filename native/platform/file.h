#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace grok::platform {

// A regular file, opened for reading. Opening never waits: named pipes and devices are refused.
class InputFile {
 public:
  // Throws not_found, io, invalid_argument (a NUL in the path).
  explicit InputFile(std::string path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  std::uint64_t size_bytes() const { return size_bytes_; }  // at opening
  const std::string& path() const { return path_; }
  std::intptr_t handle() const { return handle_; }  // of the system: a file descriptor, for example

  // Reads the next `max_bytes`, or as many as remain.
  std::string read(std::size_t max_bytes) const;
  // Reads the whole file, which may grow meanwhile. Throws bad_checkpoint for more than `max_bytes`.
  std::string read_all(std::size_t max_bytes) const;

 private:
  std::string path_;
  std::intptr_t handle_ = -1;
  std::uint64_t size_bytes_ = 0;
};

enum class PathKind { missing, file, directory, other };

// The kind of the file at `path`, links followed. Throws not_found for a link to a missing file, and an error for every
// failure except "no such file".
PathKind examine(const std::string& path);

// Names in a directory, sorted, without "." and "..".
std::vector<std::string> list_directory(const std::string& path);

}  // namespace grok::platform
