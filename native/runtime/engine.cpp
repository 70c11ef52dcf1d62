#include "runtime/engine.h"

#include <utility>

#include "backend/cpu/cpu.h"
#include "backend/cuda/cuda.h"
#include "core/error.h"
#include "model/check_config.h"
#include "model/weights.h"
#include "runtime/available_memory.h"
#include "runtime/checkpoint.h"
#include "runtime/device_engine.h"
#include "runtime/kv_cache.h"
#include "runtime/limits.h"
#include "runtime/memory_plan.h"
#include "runtime/synthetic.h"

namespace grok {
namespace {

// The one place that picks a backend.
std::unique_ptr<Backend> make_backend(const EngineOptions& options, const Limits& limits) {
  if (options.device == "cuda") {
#if defined(GROK_WITH_CUDA)
    if (limits.weight_storage != WeightStorage::packed)
      throw Error(ErrorCode::invalid_argument,
                  "expected weights to be \"packed\" with device \"cuda\": a GPU computes from "
                  "its own memory",
                  "Leave out weights, or use device \"cpu\".");
    return make_cuda_backend({});
#else
    throw Error(ErrorCode::cuda_unavailable, why_no_cuda(), "Use device \"cpu\" or \"auto\".");
#endif
  }
  if (options.device != "auto" && options.device != "cpu")
    throw Error(ErrorCode::invalid_argument,
                concat("expected device to be \"auto\", \"cpu\" or \"cuda\", found \"", options.device, "\""));
  return make_cpu_backend({.num_threads = options.num_threads, .isa = options.isa, .weights = limits.weight_storage});
}

// Of the device that the weights go to.
std::uint64_t free_memory(const EngineOptions& options) {
#if defined(GROK_WITH_CUDA)
  if (options.device == "cuda") return cuda_available_bytes();
#endif
  (void)options;
  return available_memory();
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
  Weights unloaded;
  const std::vector<BoundWeight> bound = bind_weights(config, *checkpoint.source, backend, unloaded);
  const std::vector<StoredParameter>& parameters = checkpoint.source->parameters();  // in the order of `bound`
  for (std::size_t index = 0; index < parameters.size(); ++index) {
    const StoredParameter& parameter = parameters[index];
    inspection.tensors.push_back(describe(parameter));
    const bool is_per_expert = parameter.weight.shape.size() == 3;
    const auto share_of_a_token = [&](std::uint64_t size) {
      return is_per_expert ? size / std::uint64_t(config.num_experts) * std::uint64_t(config.experts_per_token) : size;
    };
    const std::uint64_t size = num_elements(parameter.weight.shape);
    inspection.num_parameters += size;
    inspection.num_active_parameters += share_of_a_token(size);
    inspection.weight_bytes_per_token += share_of_a_token(bound[index].step_bytes);
  }
  const std::uint64_t available = options.memory_limit ? options.memory_limit : free_memory(options);
  inspection.memory = plan_memory(config, limits, bound, page_bytes(backend, config, limits.kv_cache_type), available);
  return inspection;
}

}  // namespace

std::vector<std::string> usable_isas() { return cpu_isas(); }

std::string why_no_cuda() {
#if defined(GROK_WITH_CUDA)
  return why_no_cuda_device();
#else
  return "this build has no CUDA backend";
#endif
}

Inspection inspect(const std::string& path, const EngineOptions& options) {
  const Checkpoint checkpoint = open_checkpoint(path);
  const Limits limits = limits_for(checkpoint.config, options);
  return inspection_of(checkpoint, limits, *make_backend(options, limits), options);
}

namespace {

std::unique_ptr<Engine> open_engine(Checkpoint checkpoint, const EngineOptions& options) {
  const Limits limits = limits_for(checkpoint.config, options);
  std::unique_ptr<Backend> backend = make_backend(options, limits);
  Inspection inspection = inspection_of(checkpoint, limits, *backend, options);
  return std::make_unique<DeviceEngine>(std::move(backend), std::move(checkpoint.source), std::move(inspection),
                                        limits);
}

// One seed: two runs of a benchmark are of the same network.
constexpr std::uint64_t kSyntheticSeed = 1;
constexpr const char* kSynthetic = "synthetic";

}  // namespace

std::unique_ptr<Engine> Engine::open(const std::string& path, const EngineOptions& options) {
  return open_engine(open_checkpoint(path), options);
}

std::unique_ptr<Engine> Engine::open_synthetic(const GrokConfig& config, const EngineOptions& options) {
  if (options.weights == name_of(WeightStorage::mapped))
    throw Error(ErrorCode::invalid_argument, "expected weights to be \"packed\": made-up ones have no file to map");
  check_ranges(config, kSynthetic);  // before anything is sized by it
  Checkpoint checkpoint{.source = make_synthetic_source(config, kSyntheticSeed),
                        .config = config,
                        .path = kSynthetic,
                        .config_from = kSynthetic,
                        .tokenizer = ""};
  return open_engine(std::move(checkpoint), options);
}

}  // namespace grok
