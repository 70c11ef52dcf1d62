#include "backend/cpu/probe/probe.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <thread>
#include <vector>

#include "backend/cpu/cpu.h"
#include "backend/cpu/probe/probe_kernels.h"
#include "core/error.h"
#include "testing.h"

using namespace grok;
using namespace grok::cpu;

namespace {

constexpr std::uint64_t kSmall = std::uint64_t(8) << 20;

bool is_in_order(const ProbeRate& rate) { return 0 < rate.min && rate.min <= rate.median && rate.median <= rate.max; }

}  // namespace

TEST("refuses an instruction set that this CPU lacks, with the names of those it has") {
  CHECK_ERROR(run_probe({.isa = "mmx", .buffer_bytes = kSmall}), ErrorCode::invalid_argument, "portable");
}

TEST("ends soon when it is stopped") {
  std::atomic<bool> stopped{false};
  std::thread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    stopped = true;
  });
  // Read all through, this buffer would take seconds.
  CHECK_ERROR(run_probe({.num_threads = 1, .buffer_bytes = std::uint64_t(1) << 30, .stopped = &stopped}),
              ErrorCode::cancelled, "stopped");
  stopper.join();
}

TEST("a buffer of no size is one chunk") {
  CHECK_EQ(run_probe({.num_threads = 1, .isa = "portable"}).buffer_bytes, std::uint64_t(2) << 20);
}

TEST("the reading loops depend on every byte") {
  std::vector<const ProbeKernels*> probes = {&kPortableProbe};
  const auto runs_here = [isas = usable_isas()](const char* isa) {
    return std::find(isas.begin(), isas.end(), isa) != isas.end();
  };
#if defined(__x86_64__)
  if (runs_here("avx2")) probes.push_back(&kAvx2Probe);
  if (runs_here("avx512")) probes.push_back(&kAvx512Probe);
#elif defined(__aarch64__)
  probes.push_back(&kNeonProbe);
#endif
  std::vector<std::byte> bytes(4 * kReadStep);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = std::byte(i * 37 % 251);
  const std::uint64_t before = kPortableProbe.reads.front()(bytes.data(), bytes.size());
  for (const ProbeKernels* probe : probes)
    for (const ReadLoop read : probe->reads) {
      CHECK_EQ(read(bytes.data(), bytes.size()), before);
      for (std::size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] ^= std::byte(1);
        if (read(bytes.data(), bytes.size()) == before) testing::fail(__FILE__, __LINE__, concat("byte ", i));
        bytes[i] ^= std::byte(1);
      }
    }
}

TEST("every instruction set of the kernels has a probe, with fp32 first and rates in order") {
  for (const std::string& isa : usable_isas()) {
    const Probe probe = run_probe({.num_threads = 1, .isa = isa, .buffer_bytes = kSmall});
    CHECK_EQ(probe.isa, isa);
    CHECK_EQ(probe.num_threads, 1);
    CHECK_EQ(probe.buffer_bytes, kSmall);
    CHECK(is_in_order(probe.read));
    CHECK_EQ(probe.multiply_adds.front().name, "f32");
    for (const MultiplyAddRate& entry : probe.multiply_adds) {
      CHECK(is_in_order(entry.rate));
      // No core retires more than this; a loop that the compiler removed would seem to.
      CHECK(entry.rate.max < 6000);
    }
    CHECK_EQ(std::count_if(probe.multiply_adds.begin(), probe.multiply_adds.end(),
                           [](const MultiplyAddRate& entry) { return entry.per_product > 0; }),
             1);
  }
}

TEST_MAIN()
