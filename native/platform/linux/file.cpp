#include "platform/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/printable.h"
#include "platform/linux/file_error.h"

namespace grok::platform {
namespace {

constexpr const char* kNotOpened = "cannot be opened";

// The system would end the path at a NUL and open another file.
const char* system_path(const std::string& path) {
  if (path.find('\0') != std::string::npos)
    throw Error(ErrorCode::invalid_argument, concat("Expected a path without NUL characters, found ", printable(path)));
  return path.c_str();
}

// The target of the last link in a chain of symbolic links; none for other files.
std::optional<std::string> link_target(std::string path) {
  std::optional<std::string> target;
  for (int links = 0; links < 40; ++links) {
    std::array<char, 4096> next;
    const auto size = retry_interrupted([&] { return ::readlink(path.c_str(), next.data(), next.size()); });
    if (size < 0) break;
    target.emplace(next.data(), std::size_t(size));
    path = target->starts_with('/') ? *target : path.substr(0, path.rfind('/') + 1) + *target;
  }
  return target;
}

// Names the file that is missing at the end of a link.
Error error_at(const std::string& path, const char* failure, int error_number) {
  const auto target = error_number == ENOENT ? link_target(path) : std::nullopt;
  if (!target) return file_error(path, failure, error_number);
  return {ErrorCode::not_found, concat(path, ": a link to ", *target, ", which is missing"),
          "Restore the file that the link leads to, or remove the link."};
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

}  // namespace

InputFile::InputFile(std::string path) : path_(std::move(path)) {
  const char* const name = system_path(path_);
  // NONBLOCK: opening a named pipe must not wait for its writer.
  const int descriptor = retry_interrupted([&] { return ::open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); });
  if (descriptor < 0) throw error_at(path_, kNotOpened, errno);
  handle_ = descriptor;

  struct stat status;
  const int error_number = retry_interrupted([&] { return ::fstat(descriptor, &status); }) < 0 ? errno : 0;
  if (error_number == 0 && S_ISREG(status.st_mode)) {
    size_bytes_ = std::uint64_t(status.st_size);
    return;
  }
  ::close(descriptor);  // the destructor does not run when the constructor throws
  if (error_number != 0) throw file_error(path_, "cannot be examined", error_number);
  throw Error(ErrorCode::io,
              concat(path_, ": expected a file, found ",
                     S_ISDIR(status.st_mode) ? "a directory" : "a pipe or device, which is not a regular file"));
}

InputFile::~InputFile() { ::close(int(handle_)); }

std::string InputFile::read(std::size_t max_bytes) const {
  std::string bytes;
  std::size_t size = 0;
  while (size < max_bytes) {
    // One byte more than the file has: the read after the last one confirms its end.
    if (size == bytes.size()) bytes.resize(std::min<std::uint64_t>(max_bytes, std::max(size_bytes_, 2 * size) + 1));
    const auto count =
        retry_interrupted([&] { return ::read(int(handle_), bytes.data() + size, bytes.size() - size); });
    if (count < 0) throw file_error(path_, "cannot be read", errno);
    if (count == 0) break;
    size += std::size_t(count);
  }
  bytes.resize(size);
  return bytes;
}

std::string InputFile::read_all(std::size_t max_bytes) const {
  std::string bytes;
  if (size_bytes_ <= max_bytes) bytes = read(max_bytes + 1);
  const std::uint64_t found = std::max<std::uint64_t>(size_bytes_, bytes.size());
  if (found > max_bytes)
    throw Error(ErrorCode::bad_checkpoint, concat(path_, ": expected at most ", max_bytes, " bytes, found ", found));
  return bytes;
}

PathKind examine(const std::string& path) {
  struct stat status;
  const char* const name = system_path(path);
  if (retry_interrupted([&] { return ::stat(name, &status); }) < 0) {
    const int error_number = errno;
    if (error_number == ENOENT && !link_target(path)) return PathKind::missing;
    throw error_at(path, "cannot be examined", error_number);
  }
  if (S_ISREG(status.st_mode)) return PathKind::file;
  return S_ISDIR(status.st_mode) ? PathKind::directory : PathKind::other;
}

std::vector<std::string> list_directory(const std::string& path) {
  const char* const name = system_path(path);
  DIR* opened = nullptr;
  if (retry_interrupted([&] { return (opened = ::opendir(name)) ? 0 : -1; }) < 0)
    throw error_at(path, kNotOpened, errno);
  const std::unique_ptr<DIR, CloseDirectory> directory(opened);
  std::vector<std::string> names;
  for (;;) {
    const dirent* entry = nullptr;
    const int status = retry_interrupted([&] {
      errno = 0;
      entry = ::readdir(directory.get());
      return entry || errno == 0 ? 0 : -1;
    });
    if (status < 0) throw file_error(path, "cannot be listed", errno);
    if (!entry) break;
    const std::string_view found = entry->d_name;
    if (found != "." && found != "..") names.emplace_back(found);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace grok::platform
