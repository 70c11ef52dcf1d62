#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "runtime/limits.h"
#include "runtime/options.h"

// The backends of this build: the only place that chooses among their factories.
namespace grok::runtime {

// Instruction sets for device "cpu", best first.
std::vector<std::string> usable_isas();
// Threads of an engine on the CPU if no number is given.
int default_cpu_threads();

// Why device "cuda" cannot be used, or "" if it can.
std::string why_no_cuda();

// The device of `options` is "cpu" or "cuda". Both functions throw invalid_argument, and cuda_unavailable if the build
// has no CUDA backend. make_backend also throws it if there is no device.
std::unique_ptr<Backend> make_backend(const EngineOptions& options, const Limits& limits);
std::unique_ptr<Footprint> make_footprint(const EngineOptions& options, const Limits& limits);

// The memory limit, or the bytes that the device has available now; none if there is no such device.
std::optional<std::uint64_t> memory_for(const EngineOptions& options, const Limits& limits);

}  // namespace grok::runtime
