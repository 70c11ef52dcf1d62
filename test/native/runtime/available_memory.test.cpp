#include "runtime/available_memory.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>

#include "testing.h"

namespace grok {
namespace {

namespace fs = std::filesystem;

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
  Machine& with_kib_available(int kib) {
    return file("proc/meminfo", concat("MemTotal:  99999 kB\nMemFree: 1 kB\nMemAvailable:  ", kib, " kB\n"));
  }
  std::uint64_t available() const { return available_memory(root_.string()); }

 private:
  fs::path root_;
};

TEST("a machine that says nothing has no limit that we know of") {
  CHECK_EQ(Machine().available(), std::numeric_limits<std::uint64_t>::max());
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

TEST("this machine has some memory") {
  CHECK(available_memory() > 0);
  CHECK(available_memory() < std::uint64_t(1) << 50);
}

}  // namespace
}  // namespace grok

TEST_MAIN()
