#include "runtime/disk_probe.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <random>

#include "core/error.h"

namespace grok {
namespace {

constexpr std::size_t kAlignment = 4096;  // O_DIRECT asks for the block size of the disk
constexpr std::size_t kBlockBytes = std::size_t(4) << 20;
constexpr std::size_t kMostBlocks = 64;
constexpr std::size_t kFewestBlocks = 4;                 // fewer say nothing about speed
constexpr std::uint64_t kRoom = std::uint64_t(4) << 30;  // a disk with less free is left alone
constexpr std::chrono::seconds kMostTime{2};             // to write, and again to read

using Clock = std::chrono::steady_clock;

struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

// Calls transfer(offset) block by block while it moves whole blocks and time is left. Returns the number of blocks moved.
template <typename Transfer>
std::size_t move_blocks(std::size_t most, const std::atomic<bool>& stopped, Transfer transfer) {
  const auto end = Clock::now() + kMostTime;
  std::size_t num_blocks = 0;
  while (num_blocks < most && Clock::now() < end) {
    if (stopped) throw Error(ErrorCode::cancelled, "the disk probe was stopped");
    if (transfer(off_t(num_blocks * kBlockBytes)) != ssize_t(kBlockBytes)) break;
    ++num_blocks;
  }
  return num_blocks;
}

}  // namespace

std::optional<double> probe_disk(const std::string& folder, const std::atomic<bool>& stopped) {
  struct statvfs room;
  if (::statvfs(folder.c_str(), &room) != 0 || std::uint64_t(room.f_bavail) * room.f_frsize < kRoom) return {};
  const Descriptor file{::open(folder.c_str(), O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600)};
  if (file.number < 0) return {};

  const std::unique_ptr<std::byte, decltype(&std::free)> block(
      static_cast<std::byte*>(std::aligned_alloc(kAlignment, kBlockBytes)), &std::free);
  if (!block) throw std::bad_alloc();
  std::mt19937_64 random;  // a disk may compress repeated bytes
  for (std::size_t at = 0; at < kBlockBytes; at += sizeof(std::uint64_t))
    *reinterpret_cast<std::uint64_t*>(block.get() + at) = random();

  const std::size_t written = move_blocks(
      kMostBlocks, stopped, [&](off_t offset) { return ::pwrite(file.number, block.get(), kBlockBytes, offset); });
  if (written < kFewestBlocks || ::fdatasync(file.number) != 0) return {};
  const auto start = Clock::now();
  const std::size_t num_read = move_blocks(
      written, stopped, [&](off_t offset) { return ::pread(file.number, block.get(), kBlockBytes, offset); });
  const std::chrono::duration<double> elapsed = Clock::now() - start;
  if (num_read < kFewestBlocks || elapsed.count() <= 0) return {};
  return double(num_read * kBlockBytes) / elapsed.count() * 1e-9;
}

}  // namespace grok
