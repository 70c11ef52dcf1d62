#include "backend/cpu/probe/probe.h"

#include <algorithm>
#include <cstring>

#include "backend/cpu/isa/cpu_features.h"
#include "backend/cpu/layout/host_memory.h"
#include "backend/cpu/probe/probe_kernels.h"
#include "core/error.h"
#include "platform/cpu_features.h"
#include "platform/usable_cores.h"
#include "threads/thread_pool.h"
#if defined(__x86_64__)
#include "backend/cpu/isa/amx.h"
#endif

namespace grok::cpu {
namespace {

constexpr std::size_t kReadChunk = std::size_t(2) << 20;
// Pieces of a thread's share of one repeat, so that a thread that lost its core does not delay the others.
constexpr int kPiecesPerThread = 16;
constexpr int kRoundsPerPiece = 1'000'000;

std::vector<const ProbeKernels*> usable_probes() {
  std::vector<const ProbeKernels*> usable;
#if defined(__x86_64__)
  if (has_avx512()) {
    if (can_use_amx()) usable.push_back(&kAmxProbe);
    usable.push_back(&kAvx512Probe);
  }
  if (has_avx2()) usable.push_back(&kAvx2Probe);
#elif defined(__aarch64__)
  usable.push_back(platform::has_dot_product() ? &kNeonDotprodProbe : &kNeonProbe);
#endif
  usable.push_back(&kPortableProbe);
  return usable;
}

const ProbeKernels& probe_for(const std::string& isa) {
  const auto usable = usable_probes();
  std::string names;
  for (const ProbeKernels* probe : usable) {
    if (isa.empty() || isa == probe->isa) return *probe;
    names += concat(names.empty() ? "" : ", ", probe->isa);
  }
  throw Error(ErrorCode::invalid_argument,
              concat("no probe for the instruction set \"", isa, "\" on this CPU: expected one of ", names),
              "unset GROK_RUN_ISA to let the program choose");
}

class Stopped {
 public:
  explicit Stopped(const std::atomic<bool>* flag) : flag_(flag) {}
  bool operator()() const { return flag_ && flag_->load(std::memory_order_relaxed); }

 private:
  const std::atomic<bool>* flag_;
};

}  // namespace

Probe run_probe(const ProbeOptions& options) {
  const ProbeKernels& kernels = probe_for(options.isa);
  threads::ThreadPool pool(options.num_threads > 0 ? options.num_threads : platform::usable_cores());
  const Stopped stopped(options.stopped);
  const std::size_t num_chunks = std::max<std::size_t>(options.buffer_bytes / kReadChunk, 1);
  Probe probe{.isa = kernels.isa,
              .num_threads = pool.num_threads(),
              .buffer_bytes = num_chunks * kReadChunk,
              .read = {},
              .multiply_adds = {}};

  const HostMemory buffer(probe.buffer_bytes);
  pool.parallel_for(num_chunks, [&](std::size_t chunk) {  // unwritten pages would all map to the same zero page
    if (!stopped()) std::memset(buffer.as<std::byte>() + chunk * kReadChunk, int(chunk % 251) + 1, kReadChunk);
  });
  std::atomic<std::uint64_t> folded{0};  // uses the values read, so that the compiler keeps the loads
  for (const ReadLoop read : kernels.reads) {
    const ProbeRate rate = measure_rate(double(probe.buffer_bytes), options.stopped, [&] {
      pool.parallel_for(num_chunks, [&](std::size_t chunk) {
        if (!stopped()) folded ^= read(buffer.as<std::byte>() + chunk * kReadChunk, kReadChunk);
      });
    });
    if (rate.median > probe.read.median) probe.read = rate;
  }

  const std::size_t num_pieces = std::size_t(pool.num_threads()) * kPiecesPerThread;
  for (const MultiplyAddLoop& loop : kernels.multiply_adds) {
    const double macs = double(num_pieces) * kRoundsPerPiece * loop.macs_per_round;
    const ProbeRate rate = measure_rate(macs, options.stopped, [&] {
      pool.parallel_for(num_pieces, [&](std::size_t) {
        if (!stopped()) loop.run(kRoundsPerPiece);
      });
    });
    probe.multiply_adds.push_back({.name = loop.name, .rate = rate, .per_product = loop.per_product});
  }
  return probe;
}

}  // namespace grok::cpu
