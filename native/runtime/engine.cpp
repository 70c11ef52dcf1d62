#include "runtime/engine.h"

#include <utility>

#include "backend/cpu/cpu.h"
#include "core/error.h"
#include "model/weights.h"
#include "runtime/available_memory.h"
#include "runtime/checkpoint.h"
#include "runtime/device_engine.h"
#include "runtime/limits.h"
#include "runtime/memory_plan.h"

namespace grok {
namespace {

// The one place that picks a backend.
std::unique_ptr<Backend> make_backend(const EngineOptions& options) {
  if (options.device == "cuda")
    throw Error(ErrorCode::cuda_unavailable, why_no_cuda(), "Use device \"cpu\" or \"auto\".");
  if (options.device != "auto" && options.device != "cpu")
    throw Error(ErrorCode::invalid_argument,
                concat("expected device to be \"auto\", \"cpu\" or \"cuda\", found \"", options.device, "\""));
  return make_cpu_backend({.num_threads = options.num_threads, .isa = options.isa});
}

TensorInfo describe(const StoredParameter& parameter) {
  TensorInfo info{.name = parameter.name,
                  .file = parameter.file,
                  .dtype = name_of(parameter.weight.dtype),
                  .shape = parameter.weight.shape,
                  .scales_shape = {},
                  .size_bytes = parameter.weight.size_bytes()};
  if (parameter.scales) {
    info.scales_shape = parameter.scales->shape;
    info.size_bytes += parameter.scales->size_bytes();
  }
  return info;
}

Inspection inspection_of(const Checkpoint& checkpoint, const Limits& limits, Backend& backend,
                         const EngineOptions& options) {
  const GrokConfig& config = checkpoint.config;
  Inspection inspection{.path = checkpoint.path,
                        .format = checkpoint.source->description(),
                        .config_from = checkpoint.config_from,
                        .tokenizer = checkpoint.tokenizer,
                        .config = config,
                        .tensors = {},
                        .file_bytes = checkpoint.source->size_bytes(),
                        .memory = {}};
  for (const StoredParameter& parameter : checkpoint.source->parameters()) {
    inspection.tensors.push_back(describe(parameter));
    const std::uint64_t size = num_elements(parameter.weight.shape);
    const bool is_per_expert = parameter.weight.shape.size() == 3;
    inspection.num_parameters += size;
    inspection.num_active_parameters +=
        is_per_expert ? size / std::uint64_t(config.num_experts) * std::uint64_t(config.experts_per_token) : size;
  }

  Weights unloaded;
  const std::vector<BoundWeight> bound = bind_weights(config, *checkpoint.source, backend, unloaded);
  const std::uint64_t available = options.memory_limit ? options.memory_limit : available_memory();
  inspection.memory = plan_memory(config, limits, bound, available);
  return inspection;
}

}  // namespace

std::vector<std::string> usable_isas() { return cpu_isas(); }

std::string why_no_cuda() { return "this build has no CUDA backend"; }

Inspection inspect(const std::string& path, const EngineOptions& options) {
  const Checkpoint checkpoint = open_checkpoint(path);
  const Limits limits = limits_for(checkpoint.config, options);
  return inspection_of(checkpoint, limits, *make_backend(options), options);
}

std::unique_ptr<Engine> Engine::open(const std::string& path, const EngineOptions& options) {
  Checkpoint checkpoint = open_checkpoint(path);
  const Limits limits = limits_for(checkpoint.config, options);
  std::unique_ptr<Backend> backend = make_backend(options);
  Inspection inspection = inspection_of(checkpoint, limits, *backend, options);
  return std::make_unique<DeviceEngine>(std::move(backend), std::move(checkpoint.source), std::move(inspection),
                                        limits);
}

}  // namespace grok
