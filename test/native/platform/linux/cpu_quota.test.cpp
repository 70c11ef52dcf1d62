#include "platform/linux/cpu_quota.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "testing.h"

namespace grok::platform {
namespace {

namespace fs = std::filesystem;

// A machine made of files.
class Machine {
 public:
  Machine() : root_(fs::temp_directory_path() / concat("grok-cores-", getpid())) { fs::remove_all(root_); }
  ~Machine() { fs::remove_all(root_); }

  Machine& file(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
    return *this;
  }
  // 0: no limit.
  double quota() const { return cpu_quota(root_.string()).value_or(0); }

 private:
  fs::path root_;
};

TEST("a machine that says nothing has no quota") { CHECK_EQ(Machine().quota(), 0); }

TEST("files that are not what they should be set no quota") {
  Machine machine;
  machine.file("proc/self/cgroup", "nonsense\n0::a/b\n:\n").file("proc/self/mountinfo", "1 2 - cgroup2\n\n- - -\n");
  machine.file("sys/fs/cgroup/cpu.max", "max 100000\n").file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  CHECK_EQ(machine.quota(), 0);
  machine.file("sys/fs/cgroup/cpu.max", "100000 0\n");
  CHECK_EQ(machine.quota(), 0);
}

TEST("the smallest quota counts, from the own group up to the mount") {
  Machine machine;
  machine.file("proc/self/cgroup", "0::/a/b\n").file("sys/fs/cgroup/a/b/cpu.max", "300000 100000\n");
  CHECK_EQ(machine.quota(), 3);
  machine.file("sys/fs/cgroup/a/cpu.max", "100000 50000\n");
  CHECK_EQ(machine.quota(), 2);
  machine.file("sys/fs/cgroup/cpu.max", "150000 100000\n");
  CHECK_EQ(machine.quota(), 1.5);
}

TEST("a version 1 quota counts wherever its hierarchy is mounted") {
  Machine machine;
  machine.file("proc/self/cgroup", "7:memory:/other\n4:cpu,cpuacct:/a/b\n0::/\n");
  machine.file("proc/self/mountinfo",
               "25 20 0:22 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
               "29 20 0:25 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
               "30 20 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n");
  machine.file("sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n");
  machine.file("sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
  CHECK_EQ(machine.quota(), 0);
  machine.file("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n");
  machine.file("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  CHECK_EQ(machine.quota(), 2.5);
}

TEST("a group below the group that a container shows is found") {
  Machine machine;
  machine.file("proc/self/cgroup", "4:cpu:/docker/1234/inner\n");
  machine.file("proc/self/mountinfo", "30 20 0:26 /docker/1234 /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
  machine.file("sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "100000\n");
  machine.file("sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "100000\n");
  CHECK_EQ(machine.quota(), 1);
}

}  // namespace
}  // namespace grok::platform

TEST_MAIN()
