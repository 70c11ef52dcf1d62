#include "runtime/devices.h"

#include "backend/cpu/cpu.h"
#include "backend/cuda/cuda.h"
#include "core/error.h"
#include "platform/available_memory.h"
#include "platform/usable_cores.h"

namespace grok::runtime {
namespace {

// Throws if the build or the options allow neither device.
bool is_for_cuda(const EngineOptions& options, const Limits& limits) {
  if (options.device != "cuda") {
    if (options.device != "cpu")
      throw Error(ErrorCode::invalid_argument,
                  concat("expected device to be \"auto\", \"cpu\" or \"cuda\", found \"", options.device, "\""));
    return false;
  }
#if !defined(GROK_WITH_CUDA)
  throw Error(ErrorCode::cuda_unavailable, why_no_cuda(), "Use device \"cpu\" or \"auto\".");
#endif
  if (limits.weight_storage != WeightStorage::packed)
    throw Error(ErrorCode::invalid_argument,
                "expected weights to be \"packed\" with device \"cuda\": a GPU computes from its own memory",
                "Leave out weights, or use device \"cpu\".");
  return true;
}

cpu::Options cpu_options(const EngineOptions& options, const Limits& limits) {
  return {.num_threads = options.num_threads, .isa = options.isa, .weights = limits.weight_storage};
}

}  // namespace

std::vector<std::string> usable_isas() { return cpu::usable_isas(); }

int default_cpu_threads() { return platform::usable_cores(); }

std::string why_no_cuda() {
#if defined(GROK_WITH_CUDA)
  return cuda::why_no_device();
#else
  return "this build has no CUDA backend";
#endif
}

std::unique_ptr<Backend> make_backend(const EngineOptions& options, const Limits& limits) {
  [[maybe_unused]] const bool on_cuda = is_for_cuda(options, limits);
#if defined(GROK_WITH_CUDA)
  if (on_cuda) return cuda::make_backend({});
#endif
  return cpu::make_backend(cpu_options(options, limits));
}

std::unique_ptr<Footprint> make_footprint(const EngineOptions& options, const Limits& limits) {
  [[maybe_unused]] const bool on_cuda = is_for_cuda(options, limits);
#if defined(GROK_WITH_CUDA)
  if (on_cuda) return cuda::make_footprint({});
#endif
  return cpu::make_footprint(cpu_options(options, limits));
}

std::optional<std::uint64_t> memory_for(const EngineOptions& options, const Limits& limits) {
  if (options.memory_limit) return options.memory_limit;
  [[maybe_unused]] const bool on_cuda = is_for_cuda(options, limits);
#if defined(GROK_WITH_CUDA)
  if (on_cuda) return cuda::why_no_device().empty() ? std::optional(cuda::available_bytes()) : std::nullopt;
#endif
  return platform::available_memory();
}

}  // namespace grok::runtime
