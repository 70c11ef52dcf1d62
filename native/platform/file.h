#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace grok::platform {

// A regular file, open for reading. Opening never waits: a named pipe or a device is refused.
class InputFile {
 public:
  // Throws not_found, io, invalid_argument (a NUL in the path).
  explicit InputFile(std::string path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  std::uint64_t size_bytes() const { return size_bytes_; }  // when it was opened
  const std::string& path() const { return path_; }
  std::intptr_t handle() const { return handle_; }  // the system's: a file descriptor, for example

  // The next `max_bytes`, or as many as there are.
  std::string read(std::size_t max_bytes) const;
  // The whole file, which may grow meanwhile. Throws bad_checkpoint for more than `max_bytes`.
  std::string read_all(std::size_t max_bytes) const;

 private:
  std::string path_;
  std::intptr_t handle_ = -1;
  std::uint64_t size_bytes_ = 0;
};

enum class PathKind { missing, file, directory, other };

// The kind of the file that `path` leads to. Throws not_found for a link to a missing file, and an error for every answer
// of the system but "no such file".
PathKind examine(const std::string& path);

// Names in a directory, sorted, without "." and "..".
std::vector<std::string> list_directory(const std::string& path);

}  // namespace grok::platform
