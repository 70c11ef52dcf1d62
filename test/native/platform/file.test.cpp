#include "platform/file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "platform/linux/file_error.h"
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
  CHECK_ERROR(read_text(directory / "link", 10), ErrorCode::io, "a pipe or device");
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

TEST("takes a byte order mark off, and names a file that is no JSON") {
  const TempDirectory directory;
  write_file(directory / "a.json", "\xef\xbb\xbf{\r\n}");
  CHECK_EQ(read_text(directory / "a.json", 100), "{\r\n}");
  write_file(directory / "b.json", "<html>");
  CHECK_ERROR(read_text(directory / "b.json", 100), ErrorCode::bad_checkpoint, "expected JSON, found a web page");
  write_file(directory / "c.json", "");
  CHECK_ERROR(read_text(directory / "c.json", 100), ErrorCode::bad_checkpoint, "found an empty file");
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

TEST("gives the hint that belongs to the error number") {
  struct Expectation {
    int error_number;
    ErrorCode code;
    const char* hint;
  };
  for (const Expectation& expectation : {Expectation{EACCES, ErrorCode::io, "permission"},
                                         {ESTALE, ErrorCode::io, "mount the share again"},
                                         {EIO, ErrorCode::io, "dmesg"},
                                         {EMFILE, ErrorCode::io, "ulimit -n"},
                                         {ENFILE, ErrorCode::io, "fs.file-max"},
                                         {ELOOP, ErrorCode::io, "circle"},
                                         {ENAMETOOLONG, ErrorCode::io, "shorter"},
                                         {ENOTDIR, ErrorCode::not_found, "is a file"},
                                         {ENOMEM, ErrorCode::out_of_memory, "memory"},
                                         {ETIMEDOUT, ErrorCode::io, "does not answer"},
                                         {ENOTCONN, ErrorCode::io, "FUSE"}}) {
    const Error error = file_error("a", "cannot be opened", expectation.error_number);
    CHECK(error.code == expectation.code);
    CHECK(error.hint.find(expectation.hint) != std::string::npos);
    CHECK_EQ(error.hint.find("permission") == std::string::npos, expectation.error_number != EACCES);
  }
  CHECK_EQ(file_error("a", "cannot be opened", ENOSPC).hint, "");
}

TEST("repeats an interrupted call, and not for ever") {
  int calls = 0;
  const auto interrupted_twice = [&] {
    errno = EINTR;
    return ++calls > 2 ? 7 : -1;
  };
  CHECK_EQ(retry_interrupted(interrupted_twice), 7);
  CHECK_EQ(calls, 3);
  CHECK_EQ(retry_interrupted([&] {
             ++calls;
             errno = EINTR;
             return -1;
           }),
           -1);
  CHECK(calls < 2000);
  calls = 0;
  CHECK_EQ(retry_interrupted([&] {
             ++calls;
             errno = EIO;
             return -1;
           }),
           -1);
  CHECK_EQ(calls, 1);
}

TEST_MAIN()
