#include "format/mapped_file.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/files.h"
#include "testing.h"

using namespace grok;
using namespace grok::format;
using namespace grok::testing;

namespace {

std::string read_text(const MappedFile& file, std::uint64_t offset, std::size_t size) {
  std::string text(size, '\0');
  file.read(offset, std::as_writable_bytes(std::span(text)));
  return text;
}

// An earlier handler of the process: main() installs it before the first file is mapped.
sigjmp_buf earlier_handler_jump;
volatile std::sig_atomic_t earlier_handler_calls = 0;

void earlier_handler(int) {
  earlier_handler_calls = earlier_handler_calls + 1;
  siglongjmp(earlier_handler_jump, 1);
}

// Reads a page of a mapping that lies past the end of its file.
void touch_page_that_is_gone(const std::string& path) {
  write_file(path, "x");
  FILE* const file = std::fopen(path.c_str(), "rb");
  const auto page = std::size_t(::sysconf(_SC_PAGESIZE));
  auto* const bytes = static_cast<volatile char*>(::mmap(nullptr, 2 * page, PROT_READ, MAP_PRIVATE, fileno(file), 0));
  std::fclose(file);
  [[maybe_unused]] const char value = bytes[page];
}

}  // namespace

TEST("says which file is missing, is a directory, a pipe, or empty") {
  TempDirectory directory;
  CHECK_ERROR(MappedFile(directory / "none"), ErrorCode::not_found, "none: no such file");
  CHECK_ERROR(MappedFile(directory / "none/none"), ErrorCode::not_found, "no such file");
  CHECK_ERROR(MappedFile(directory.path()), ErrorCode::io, "expected a file, found a directory");
  ::mkfifo((directory / "pipe").c_str(), 0600);
  CHECK_ERROR(MappedFile(directory / "pipe"), ErrorCode::io, "a pipe or device");
  write_file(directory / "empty", "");
  CHECK_ERROR(MappedFile(directory / "empty"), ErrorCode::bad_checkpoint, "empty: the file is empty");
}

TEST("says that a file is not readable") {
  TempDirectory directory;
  write_file(directory / "secret", "x");
  ::chmod((directory / "secret").c_str(), 0);
  if (::geteuid() == 0) {
    // Root may read everything, so this runs as nobody, in its own process.
    ::chmod(directory.path().c_str(), 0755);
    const pid_t child = ::fork();
    if (child == 0) {
      if (::setuid(65534) != 0) ::_exit(2);
      try {
        MappedFile file(directory / "secret");
        ::_exit(1);
      } catch (const Error& error) {
        ::_exit(error.code == ErrorCode::io && std::string(error.what()).find("Permission denied") != std::string::npos
                    ? 0
                    : 1);
      }
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
  } else {
    CHECK_ERROR(MappedFile(directory / "secret"), ErrorCode::io, "cannot be opened: Permission denied");
  }
}

TEST("says that the process is out of file descriptors") {
  TempDirectory directory;
  write_file(directory / "a", "x");
  rlimit limit;
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const rlimit none{0, limit.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &none);
  try {
    MappedFile file(directory / "a");
    CHECK(false);
  } catch (const Error& error) {
    CHECK(error.code == ErrorCode::io);
    CHECK(error.hint.find("ulimit -n") != std::string::npos);
  }
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

TEST("refuses to read past the end, also where offset and size wrap around") {
  TempDirectory directory;
  write_file(directory / "a", "0123456789");
  const MappedFile file(directory / "a");
  std::byte out[4];
  CHECK_ERROR(file.read(7, out), ErrorCode::io, "expected 4 bytes at 7, the file has 10 in all");
  CHECK_ERROR(file.read(11, out), ErrorCode::io, "the file has 10");
  CHECK_ERROR(file.read(UINT64_MAX - 1, out), ErrorCode::io, "the file has 10");
  CHECK_ERROR(file.read_rows(1, 8, 2, 2, out), ErrorCode::io, "expected 10 bytes at 1, the file has 10 in all");
  CHECK_ERROR(file.read_rows(UINT64_MAX - 1, 1, 2, 2, out), ErrorCode::io, "the file has 10");
}

TEST("turns a file that shrank while it was mapped into an error, on any thread, again and again") {
  TempDirectory directory;
  write_file(directory / "a", std::string(100'000, 'x'));
  const MappedFile file(directory / "a");
  CHECK_EQ(read_text(file, 90'000, 3), "xxx");
  std::filesystem::resize_file(directory / "a", 5000);

  const auto read_lost_bytes = [&] {
    CHECK_ERROR(read_text(file, 90'000, 8), ErrorCode::io,
                "could not read 8 bytes at 90000: expected a file of 100000 bytes, found 5000 now");
    CHECK_ERROR(read_text(file, 0, 100'000), ErrorCode::io, "found 5000 now");
    CHECK_EQ(read_text(file, 0, 3), "xxx");  // the rest can still be read
  };
  read_lost_bytes();
  std::thread(read_lost_bytes).join();
  read_lost_bytes();

  std::filesystem::remove(directory / "a");
  CHECK_ERROR(read_text(file, 90'000, 8), ErrorCode::io, "found none");
  CHECK_EQ(int(earlier_handler_calls), 0);
}

TEST("copies rows that lie apart, and turns a file that shrank in the middle of them into the same error") {
  TempDirectory directory;
  std::string content;
  for (int index = 0; index < 100'000; ++index) content += char('a' + index % 26);
  write_file(directory / "a", content);
  const MappedFile file(directory / "a");
  const auto rows = [&](std::uint64_t offset, std::uint64_t stride, std::size_t row_bytes, std::size_t num_rows) {
    std::string text(row_bytes * num_rows, '\0');
    file.read_rows(offset, stride, row_bytes, num_rows, std::as_writable_bytes(std::span(text)));
    return text;
  };
  CHECK_EQ(rows(1, 26, 3, 3), "bcdbcdbcd");
  CHECK_EQ(rows(99'998, 1, 1, 2), content.substr(99'998));
  CHECK_EQ(rows(0, 26, 3, 0), "");

  std::filesystem::resize_file(directory / "a", 5000);
  for (int attempt = 0; attempt < 3; ++attempt) {
    CHECK_ERROR(rows(10, 20'000, 100, 5), ErrorCode::io,
                "could not read 80100 bytes at 10: expected a file of 100000 bytes, found 5000 now");
    CHECK_EQ(rows(1, 26, 3, 3), "bcdbcdbcd");
  }
}

TEST("turns the fault into an error on several threads at once") {
  TempDirectory directory;
  write_file(directory / "a", std::string(1 << 20, 'x'));
  const MappedFile file(directory / "a");
  std::filesystem::resize_file(directory / "a", 0);
  std::vector<std::thread> threads;
  std::atomic<int> num_errors = 0;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&] {
      for (int attempt = 0; attempt < 200; ++attempt) {
        try {
          read_text(file, std::uint64_t(attempt) * 5000, 5000);
        } catch (const Error& error) {
          num_errors += error.code == ErrorCode::io;
        }
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK_EQ(int(num_errors), 800);
}

TEST("passes a fault that is not its own on to the earlier handler") {
  TempDirectory directory;
  write_file(directory / "mapped", "x");
  const MappedFile file(directory / "mapped");
  const std::string other = directory / "other";
  const int before = earlier_handler_calls;
  if (sigsetjmp(earlier_handler_jump, 1) == 0) touch_page_that_is_gone(other);
  CHECK_EQ(int(earlier_handler_calls), before + 1);
  CHECK_EQ(read_text(file, 0, 1), "x");
}

TEST("guards again after another handler took its place, or the default did") {
  TempDirectory directory;
  write_file(directory / "a", std::string(100'000, 'x'));
  for (const auto handler : {earlier_handler, SIG_DFL}) {
    std::signal(SIGBUS, handler);
    const MappedFile file(directory / "a");
    std::filesystem::resize_file(directory / "a", 5000);
    CHECK_ERROR(read_text(file, 90'000, 8), ErrorCode::io, "found 5000 now");
    std::filesystem::resize_file(directory / "a", 100'000);
  }
  std::signal(SIGBUS, earlier_handler);
  const MappedFile file(directory / "a");
  const std::string other = directory / "other";  // the jump destroys no temporary
  const int before = earlier_handler_calls;
  if (sigsetjmp(earlier_handler_jump, 1) == 0) touch_page_that_is_gone(other);
  CHECK_EQ(int(earlier_handler_calls), before + 1);
}

TEST("holds no descriptor: a thousand files can be mapped where eighty may be open") {
  TempDirectory directory;
  rlimit limit;
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const rlimit few{std::min<rlim_t>(80, limit.rlim_max), limit.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &few);
  std::vector<std::unique_ptr<MappedFile>> files;
  for (int index = 0; index < 1000; ++index) {
    const std::string path = directory / std::to_string(index);
    write_file(path, std::to_string(index));
    files.push_back(std::make_unique<MappedFile>(path));
  }
  ::setrlimit(RLIMIT_NOFILE, &limit);
  CHECK_EQ(read_text(*files[999], 0, 3), "999");
}

TEST("fetches ahead, also what lies past the end or is gone since") {
  TempDirectory directory;
  write_file(directory / "a", std::string(100'000, 'x'));
  const MappedFile file(directory / "a");
  file.fetch(1, 3);
  file.fetch(50'000, UINT64_MAX);
  file.fetch(UINT64_MAX, 1);
  CHECK_EQ(read_text(file, 99'997, 3), "xxx");
  std::filesystem::resize_file(directory / "a", 5000);
  file.fetch(0, 100'000);
  CHECK_ERROR(read_text(file, 90'000, 8), ErrorCode::io, "found 5000 now");
}

TEST("reads what was dropped again") {
  TempDirectory directory;
  std::string content;
  for (int index = 0; index < 20'000; ++index) content += char('a' + index % 26);
  write_file(directory / "a", content);
  const MappedFile file(directory / "a");
  CHECK(read_text(file, 0, content.size()) == content);
  file.drop(0, content.size());
  file.drop(1, 3);
  file.drop(5000, UINT64_MAX);
  file.drop(UINT64_MAX, 1);
  CHECK(read_text(file, 0, content.size()) == content);
  CHECK(read_text(file, 4999, 7001) == content.substr(4999, 7001));
  CHECK_EQ(read_text(file, 20'000, 0), "");
}

TEST("leaves a fault that is nobody's to the system, which ends the process") {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const int status = std::system(("\"" + self + "\" --fault-without-handler > /dev/null 2>&1").c_str());
  CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
}

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "--fault-without-handler") {
    TempDirectory directory;
    write_file(directory / "mapped", "x");
    const MappedFile file(directory / "mapped");
    touch_page_that_is_gone(directory / "other");
    return 0;
  }
  std::signal(SIGBUS, earlier_handler);
  return grok::testing::run(argc, argv);
}
