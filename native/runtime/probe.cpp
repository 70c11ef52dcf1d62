#include "runtime/probe.h"

#include <algorithm>
#include <cstdint>

#include "core/error.h"
#include "platform/available_memory.h"
#include "runtime/devices.h"

namespace grok::runtime {

cpu::Probe probe_machine(int num_threads, const std::string& isa, const std::atomic<bool>& stopped) {
  constexpr int kMaxThreads = 1024;
  if (num_threads < 0 || num_threads > kMaxThreads)
    throw Error(ErrorCode::invalid_argument,
                concat("expected num_threads to be 1 to ", kMaxThreads, ", or 0 for the default; found ", num_threads));
  // No cache is as large as this, and small machines have small caches.
  constexpr std::uint64_t kBufferBytes = std::uint64_t(1) << 30;
  const std::uint64_t buffer_bytes =
      std::min(kBufferBytes, platform::available_memory().value_or(4 * kBufferBytes) / 4);
  return cpu::run_probe({.num_threads = num_threads, .isa = isa, .buffer_bytes = buffer_bytes, .stopped = &stopped});
}

cuda::Probe probe_device([[maybe_unused]] const std::atomic<bool>& stopped) {
#if defined(GROK_WITH_CUDA)
  // More than ten times the largest cache of any GPU so far.
  constexpr std::uint64_t kBufferBytes = std::uint64_t(2) << 30;
  return cuda::run_probe({.buffer_bytes = kBufferBytes, .stopped = &stopped});
#else
  throw Error(ErrorCode::cuda_unavailable, why_no_cuda(), "Use device \"cpu\" or \"auto\".");
#endif
}

}  // namespace grok::runtime
