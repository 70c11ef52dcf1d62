#include "platform/file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "support/files.h"
#include "testing.h"

using namespace grok;
using namespace grok::platform;
using namespace grok::testing;

namespace fs = std::filesystem;

TEST("refuses what is no regular file, without waiting for it") {
  const TempDirectory directory;
  CHECK_EQ(::mkfifo((directory / "pipe").c_str(), 0600), 0);
  for (const std::string& path : {directory / "pipe", std::string("/dev/zero"), std::string("/dev/null")})
    CHECK_ERROR(InputFile{path}, ErrorCode::io, "expected a file, found a pipe or device");
  CHECK_ERROR(InputFile{directory.path()}, ErrorCode::io, "expected a file, found a directory");
  fs::create_symlink("/dev/zero", directory / "link");
  CHECK_ERROR(InputFile{directory / "link"}, ErrorCode::io, "a pipe or device");
}

TEST("refuses a NUL in a path, at which the system would cut it") {
  const TempDirectory directory;
  write_file(directory / "a", "x");
  const std::string path = directory / std::string("a\0.safetensors", 14);
  CHECK_ERROR(InputFile{path}, ErrorCode::invalid_argument, "a\\x00.safetensors");
  CHECK_ERROR(examine(path), ErrorCode::invalid_argument, "without NUL");
  CHECK_ERROR(list_directory(path), ErrorCode::invalid_argument, "without NUL");
}

TEST("reads at most the bytes that a file may have") {
  const TempDirectory directory;
  write_file(directory / "ten", "0123456789");
  CHECK_EQ(InputFile(directory / "ten").read_all(10), "0123456789");
  CHECK_EQ(InputFile(directory / "ten").read(4), "0123");
  CHECK_ERROR(InputFile(directory / "ten").read_all(9), ErrorCode::bad_checkpoint, "at most 9 bytes, found 10");
  // Files of /proc have a size of 0 and more bytes than that.
  CHECK_ERROR(InputFile("/proc/self/status").read_all(9), ErrorCode::bad_checkpoint, "at most 9 bytes, found 10");
  CHECK(InputFile("/proc/self/status").read_all(1 << 20).size() > 100);
}

TEST("tells a missing file from a link to one, however long the chain") {
  const TempDirectory directory;
  CHECK(examine(directory / "none") == PathKind::missing);
  fs::create_symlink("../blobs/gone", directory / "link");
  fs::create_symlink("link", directory / "chain");
  for (const char* name : {"link", "chain"}) {
    CHECK_ERROR(examine(directory / name), ErrorCode::not_found, "a link to ../blobs/gone, which is missing");
    CHECK_ERROR(InputFile{directory / name}, ErrorCode::not_found, "a link to ../blobs/gone, which is missing");
    CHECK_ERROR(list_directory(directory / name), ErrorCode::not_found, "which is missing");
  }
  write_file(directory / "file", "x");
  fs::create_symlink("file", directory / "good");
  CHECK(examine(directory / "good") == PathKind::file);
  CHECK(examine(directory.path()) == PathKind::directory);
  CHECK(examine("/dev/null") == PathKind::other);
}

TEST("tells every answer of the system but \"no such file\"") {
  const TempDirectory directory;
  write_file(directory / "file", "x");
  CHECK_ERROR(examine(directory / "file/config.json"), ErrorCode::not_found, "Not a directory");
  fs::create_symlink("circle", directory / "circle");
  CHECK_ERROR(examine(directory / "circle"), ErrorCode::io, "symbolic links");
  CHECK_ERROR(examine(directory / std::string(300, 'a')), ErrorCode::io, "File name too long");
}

TEST_MAIN()
