#include "backend/cuda/probe.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <numeric>
#include <span>
#include <vector>

#include "backend/cuda/cuda.h"
#include "emulator/emulator.h"
#include "support/restore_emulator.h"
#include "testing.h"

using namespace grok;
using namespace grok::cuda;
using namespace grok::testing;

namespace {

constexpr int kNumSteps = 4, kNumBlocks = 3;  // so that one block has two

std::span<std::uint32_t> words_of(const DeviceMemory& memory) {
  return {memory.as<std::uint32_t>(), memory.size_bytes() / sizeof(std::uint32_t)};
}

std::uint32_t exclusive_or(std::span<const std::uint32_t> words) {
  return std::accumulate(words.begin(), words.end(), std::uint32_t(0), std::bit_xor<>());
}

std::uint32_t fold(Stream& stream, const DeviceMemory& buffer) {
  const DeviceMemory folded(kNumBlocks * sizeof(std::uint32_t));
  read_buffer(stream, folded.as<std::uint32_t>(), buffer, kNumBlocks);
  stream.synchronize();
  return exclusive_or(words_of(folded));
}

bool is_a_rate(const ProbeRate& rate) {
  return 0 < rate.min && rate.min <= rate.median && rate.median <= rate.max && std::isfinite(rate.max);
}

}  // namespace

TEST("says why no device can be probed") {
  const Restore restore;
  emulator::settings().num_devices = 0;
  CHECK_ERROR(run_probe({}), ErrorCode::cuda_unavailable, "sees no device");
}

TEST("takes at most a quarter of the free memory, and says so if that is not enough") {
  const Restore restore;
  emulator::settings().memory_bytes = 1 << 20;
  CHECK_EQ(run_probe({.buffer_bytes = 2 << 20}).buffer_bytes, 1u << 18);
  emulator::settings().memory_bytes = 1000;
  CHECK_ERROR(run_probe({.buffer_bytes = 2 << 20}), ErrorCode::out_of_memory, "refused 65536 bytes");
}

TEST("ends when it is stopped") {
  const std::atomic<bool> stopped{true};
  CHECK_ERROR(run_probe({.stopped = &stopped}), ErrorCode::cancelled, "stopped");
}

TEST("the buffer consists of words of which no two are equal") {
  Stream stream{false};
  const DeviceMemory buffer(kProbeStep);
  fill_buffer(stream, buffer, kNumBlocks);
  stream.synchronize();
  std::vector<std::uint32_t> words(words_of(buffer).begin(), words_of(buffer).end());
  std::sort(words.begin(), words.end());
  CHECK(std::adjacent_find(words.begin(), words.end()) == words.end());
}

TEST("reading depends on every word, whichever block and load it falls to") {
  Stream stream{false};
  const DeviceMemory buffer(kNumSteps * kProbeStep);
  fill_buffer(stream, buffer, kNumBlocks);
  stream.synchronize();
  const std::span<std::uint32_t> words = words_of(buffer);
  CHECK_EQ(fold(stream, buffer), exclusive_or(words));
  const std::uint32_t before = fold(stream, buffer);
  for (std::size_t i = 0; i < words.size(); i += 509) {  // a prime: all lanes, loads and steps take part
    words[i] ^= 1u << (i % 32);
    CHECK(fold(stream, buffer) != before);
    words[i] ^= 1u << (i % 32);
  }
}

TEST("copying takes the first half to the second, and leaves the first as it was") {
  Stream stream{false};
  const DeviceMemory buffer(2 * kNumSteps * kProbeStep);
  fill_buffer(stream, buffer, kNumBlocks);
  stream.synchronize();
  const std::span<std::uint32_t> words = words_of(buffer);
  const std::span<std::uint32_t> first = words.first(words.size() / 2), second = words.last(words.size() / 2);
  const std::vector<std::uint32_t> before(first.begin(), first.end());
  copy_half(stream, buffer, kNumBlocks);
  stream.synchronize();
  CHECK(std::equal(first.begin(), first.end(), before.begin()));
  CHECK(std::equal(second.begin(), second.end(), before.begin()));
}

TEST("says which device it was, how large a buffer, and rates in order") {
  const Probe probe = run_probe({.buffer_bytes = 5 * kProbeStep});
  CHECK_EQ(probe.device, "emulated device, compute capability 9.0");
  CHECK_EQ(probe.buffer_bytes, 4 * kProbeStep);  // two halves of whole steps
  CHECK(is_a_rate(probe.read));
  CHECK(is_a_rate(probe.copy));
  CHECK_EQ(run_probe({}).buffer_bytes, 2 * kProbeStep);
}

TEST_MAIN()
