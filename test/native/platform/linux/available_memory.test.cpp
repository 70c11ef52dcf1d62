#include "platform/linux/available_memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "platform/available_memory.h"
#include "testing.h"

namespace grok::platform {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kImpossible = std::uint64_t(1) << 50;  // bytes

// A machine made of files.
class Machine {
 public:
  Machine() : root_(fs::temp_directory_path() / concat("grok-memory-", getpid())) { fs::remove_all(root_); }
  ~Machine() { fs::remove_all(root_); }

  Machine& file(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
    return *this;
  }
  Machine& with_kib_available(std::int64_t kib) {
    return file("proc/meminfo", concat("MemTotal:  99999 kB\nMemFree: 1 kB\nMemAvailable:  ", kib, " kB\n"));
  }
  std::uint64_t available() const { return available_memory(root_.string()).value(); }

 private:
  fs::path root_;
};

TEST("without /proc the system call tells what is free") {
  CHECK(Machine().available() > 0);
  CHECK(Machine().available() < kImpossible);
}

TEST("without /proc the limit at the mount counts") {
  CHECK_EQ(Machine().file("sys/fs/cgroup/memory.max", "5000\n").available(), 5000u);
  CHECK_EQ(Machine().file("sys/fs/cgroup/memory/memory.limit_in_bytes", "6000\n").available(), 6000u);
}

TEST("files that are not what they should be say nothing") {
  Machine machine;
  machine.with_kib_available(10).file("proc/self/cgroup", "nonsense\n0::/\n:\n").file("sys/fs/cgroup/memory.max", "x");
  CHECK_EQ(machine.available(), 10u * 1024);
}

TEST("a group that uses more than its limit has nothing left") {
  Machine machine;
  machine.with_kib_available(10).file("proc/self/cgroup", "0::/\n");
  machine.file("sys/fs/cgroup/memory.max", "1000\n").file("sys/fs/cgroup/memory.current", "2000\n");
  CHECK_EQ(machine.available(), 0u);
}

TEST("without a group the machine's own number counts") {
  CHECK_EQ(Machine().with_kib_available(7).available(), 7u * 1024);
}

TEST("a group without a limit changes nothing") {
  Machine machine;
  machine.with_kib_available(7).file("proc/self/cgroup", "0::/a\n").file("sys/fs/cgroup/a/memory.max", "max\n");
  CHECK_EQ(machine.available(), 7u * 1024);
}

TEST("a limit leaves what is not used, and pages of files count as not used") {
  Machine machine;
  machine.with_kib_available(100).file("proc/self/cgroup", "0::/a/b\n");
  machine.file("sys/fs/cgroup/a/b/memory.max", "9000\n").file("sys/fs/cgroup/a/b/memory.current", "5000\n");
  CHECK_EQ(machine.available(), 4000u);
  machine.file("sys/fs/cgroup/a/b/memory.stat", "anon 1\nactive_file 7\ninactive_file 3000\n");
  CHECK_EQ(machine.available(), 7000u);
}

TEST("the tightest of the groups above counts, up to the mount") {
  Machine machine;
  machine.with_kib_available(100).file("proc/self/cgroup", "0::/a/b\n");
  machine.file("sys/fs/cgroup/a/b/memory.max", "9000\n").file("sys/fs/cgroup/a/memory.max", "6000\n");
  CHECK_EQ(machine.available(), 6000u);
  machine.file("sys/fs/cgroup/memory.max", "5000\n");
  CHECK_EQ(machine.available(), 5000u);
}

TEST("a container that sees the host's path has the limit at its mount") {
  Machine machine;
  machine.with_kib_available(100).file("proc/self/cgroup", "0::/system.slice/docker-1234.scope\n");
  machine.file("sys/fs/cgroup/memory.max", "5000\n");
  CHECK_EQ(machine.available(), 5000u);
}

TEST("version 1 groups count where they govern memory") {
  Machine machine;
  machine.with_kib_available(100).file("proc/self/cgroup", "5:cpu:/x\n4:pids,memory:/a\n1:name=systemd:/\n");
  machine.file("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9000\n");
  machine.file("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "4000\n");
  machine.file("sys/fs/cgroup/memory/a/memory.stat", "inactive_file 1\ntotal_inactive_file 500\n");
  CHECK_EQ(machine.available(), 5500u);
}

TEST("a version 1 group counts the tightest limit above it, though that group is out of sight") {
  Machine machine;
  machine.with_kib_available(100).file("proc/self/cgroup", "4:memory:/pod/a\n");
  machine.file("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  machine.file("sys/fs/cgroup/memory/memory.stat", "cache 1\nhierarchical_memory_limit 8000\n");
  CHECK_EQ(machine.available(), 8000u);
}

TEST("the number that version 1 writes for no limit is none") {
  Machine machine;
  machine.file("proc/self/cgroup", "4:memory:/\n");
  machine.file("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(machine.available() < kImpossible);
}

TEST("a group that is slowed down above some usage has no more than that") {
  Machine machine;
  machine.with_kib_available(100).file("proc/self/cgroup", "0::/a\n");
  machine.file("sys/fs/cgroup/a/memory.max", "9000\n").file("sys/fs/cgroup/a/memory.high", "7000\n");
  CHECK_EQ(machine.available(), 7000u);
}

// Sets a soft limit of this process until the end of the scope.
class ProcessLimit {
 public:
  ProcessLimit(__rlimit_resource resource, std::uint64_t bytes) : resource_(resource) {
    getrlimit(resource, &before_);
    const rlimit lower{bytes, before_.rlim_max};
    CHECK_EQ(setrlimit(resource, &lower), 0);
  }
  ~ProcessLimit() { setrlimit(resource_, &before_); }

 private:
  const __rlimit_resource resource_;
  rlimit before_;
};

TEST("a limit on address space or data leaves what the process does not use yet") {
  const auto page = std::uint64_t(sysconf(_SC_PAGESIZE));
  Machine machine;
  machine.with_kib_available(200'000'000'000).file("proc/self/statm", "4000 100 50 10 0 3000 0\n");
  for (const auto& [resource, used_pages] : {std::pair{RLIMIT_AS, 4000u}, {RLIMIT_DATA, 3000u}}) {
    // Above the 20 TiB that a sanitizer reserves, so that this test itself still runs.
    const std::uint64_t limit = std::uint64_t(1) << 46;
    const ProcessLimit lowered(resource, limit);
    CHECK_EQ(machine.available(), limit - used_pages * page);
  }
}

TEST("this machine has some memory") {
  CHECK(available_memory().value() > 0);
  CHECK(available_memory().value() < kImpossible);
}

}  // namespace
}  // namespace grok::platform

TEST_MAIN()
