#include "runtime/disk_probe.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <random>
#include <span>
#include <system_error>

#include "core/error.h"
#include "platform/uncached_file.h"

namespace grok::runtime {
namespace {

constexpr std::size_t kBlockBytes = std::size_t(4) << 20;
constexpr std::size_t kMostBlocks = 64;
constexpr std::size_t kFewestBlocks = 4;                 // fewer do not show the speed
constexpr std::uint64_t kRoom = std::uint64_t(4) << 30;  // a disk with less free space is not measured
constexpr std::chrono::seconds kMostTime{2};             // for writing, and again for reading

using Clock = std::chrono::steady_clock;

struct alignas(platform::UncachedFile::kAlignment) Block {
  std::uint64_t words[kBlockBytes / sizeof(std::uint64_t)];
};

// Calls transfer(offset) block by block while it transfers whole blocks and time remains. Returns the number of blocks.
template <typename Transfer>
std::size_t move_blocks(std::size_t most, const std::atomic<bool>& stopped, Transfer transfer) {
  const auto end = Clock::now() + kMostTime;
  std::size_t num_blocks = 0;
  while (num_blocks < most && Clock::now() < end) {
    if (stopped) throw Error(ErrorCode::cancelled, "the disk probe was stopped");
    if (!transfer(num_blocks * kBlockBytes)) break;
    ++num_blocks;
  }
  return num_blocks;
}

}  // namespace

std::optional<double> probe_disk(const std::string& folder, const std::atomic<bool>& stopped) {
  std::error_code unknown;
  const std::filesystem::space_info room = std::filesystem::space(folder, unknown);
  if (unknown || room.available < kRoom) return {};
  const platform::UncachedFile file(folder);
  if (!file.is_open()) return {};

  const auto block = std::make_unique<Block>();
  std::mt19937_64 random;  // a disk may compress repeated bytes
  for (std::uint64_t& word : block->words) word = random();
  const std::span bytes = std::as_writable_bytes(std::span(block->words));

  const std::size_t written =
      move_blocks(kMostBlocks, stopped, [&](std::uint64_t offset) { return file.write(offset, bytes); });
  if (written < kFewestBlocks || !file.flush()) return {};
  const auto start = Clock::now();
  const std::size_t num_read =
      move_blocks(written, stopped, [&](std::uint64_t offset) { return file.read(offset, bytes); });
  const std::chrono::duration<double> elapsed = Clock::now() - start;
  if (num_read < kFewestBlocks || elapsed.count() <= 0) return {};
  return double(num_read * kBlockBytes) / elapsed.count() * 1e-9;
}

}  // namespace grok::runtime
