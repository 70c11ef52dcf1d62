#include "runtime/disk_probe.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "testing.h"

namespace grok::runtime {
namespace {

namespace fs = std::filesystem;

TEST("a folder that is missing, or takes no file, has no rate") {
  const std::atomic<bool> stopped{false};
  CHECK(!probe_disk("/nowhere", stopped));
  CHECK(!probe_disk("/proc/self", stopped));
}

TEST("a folder that takes files has a rate, and no file is left") {
  const std::atomic<bool> stopped{false};
  const fs::path folder = fs::temp_directory_path() / concat("grok-disk-", getpid());
  fs::create_directory(folder);
  if (const auto rate = probe_disk(folder.string(), stopped))
    CHECK(*rate > 0 && *rate < 1e4);
  else
    std::puts("SKIPPED: this file system takes no file without a name, or is nearly full");
  CHECK(fs::is_empty(folder));
  fs::remove(folder);
}

TEST("a probe that was stopped says so") {
  const std::atomic<bool> stopped{true};
  const std::string folder = fs::temp_directory_path().string();
  if (!probe_disk(folder, std::atomic<bool>{false})) return;  // nothing to stop
  CHECK_ERROR(probe_disk(folder, stopped), ErrorCode::cancelled, "stopped");
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
