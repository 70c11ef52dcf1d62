#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "runtime/limits.h"
#include "runtime/options.h"

// The backends of this build: the one place that picks among their factories.
namespace grok::runtime {

// Instruction sets that device "cpu" can be asked for, best first.
std::vector<std::string> usable_isas();
// Threads of an engine on the CPU that is asked for no number of them.
int default_cpu_threads();

// Why device "cuda" cannot be used, or "" when it can.
std::string why_no_cuda();

// The device of `options` is "cpu" or "cuda". These throw invalid_argument, and cuda_unavailable where the build has no
// CUDA backend; make_backend also where there is no device.
std::unique_ptr<Backend> make_backend(const EngineOptions& options, const Limits& limits);
std::unique_ptr<Footprint> make_footprint(const EngineOptions& options, const Limits& limits);

// The memory limit, or the bytes that the device has available now; none where there is no such device.
std::optional<std::uint64_t> memory_for(const EngineOptions& options, const Limits& limits);

}  // namespace grok::runtime
