#include "runtime/engine.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "backend/cpu/cpu.h"
#include "backend/cuda/cuda.h"
#include "core/error.h"
#include "model/check_config.h"
#include "model/weights.h"
#include "platform/available_memory.h"
#include "platform/usable_cores.h"
#include "runtime/checkpoint.h"
#include "runtime/device_engine.h"
#include "runtime/kv_cache.h"
#include "runtime/limits.h"
#include "runtime/memory_plan.h"
#include "runtime/synthetic.h"

namespace grok::runtime {
namespace {

constexpr const char* kSynthetic = "synthetic";  // where made-up weights and their configuration are from

// The device is named by now. True for CUDA, false for the CPU. Throws where there can be neither.
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

cpu::CpuOptions cpu_options(const EngineOptions& options, const Limits& limits) {
  return {.num_threads = options.num_threads, .isa = options.isa, .weights = limits.weight_storage};
}

std::unique_ptr<Backend> make_backend(const EngineOptions& options, const Limits& limits) {
  [[maybe_unused]] const bool on_cuda = is_for_cuda(options, limits);
#if defined(GROK_WITH_CUDA)
  if (on_cuda) return cuda::make_cuda_backend({});
#endif
  return cpu::make_cpu_backend(cpu_options(options, limits));
}

std::unique_ptr<Footprint> make_footprint(const EngineOptions& options, const Limits& limits) {
  [[maybe_unused]] const bool on_cuda = is_for_cuda(options, limits);
#if defined(GROK_WITH_CUDA)
  if (on_cuda) return cuda::make_cuda_footprint({});
#endif
  return cpu::make_cpu_footprint(cpu_options(options, limits));
}

// Of the device that the weights go to; none where there is no such device.
std::optional<std::uint64_t> memory_for(const EngineOptions& options, const Limits& limits) {
  if (options.memory_limit) return options.memory_limit;
  [[maybe_unused]] const bool on_cuda = is_for_cuda(options, limits);
#if defined(GROK_WITH_CUDA)
  if (on_cuda) return cuda::why_no_cuda_device().empty() ? std::optional(cuda::cuda_available_bytes()) : std::nullopt;
#endif
  return platform::available_memory();
}

TensorInfo describe(const format::StoredParameter& parameter) {
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

// What a checkpoint takes. `unloaded` is what the weights are bound to.
Planned plan_of(const Checkpoint& checkpoint, const Footprint& footprint, std::optional<std::uint64_t> available,
                model::Weights& unloaded) {
  std::vector<model::BoundWeight> weights =
      model::bind_weights(checkpoint.config, *checkpoint.source, footprint, unloaded);
  return {.config = checkpoint.config,
          .weights = std::move(weights),
          .layers = model::layer_views(checkpoint.config, *checkpoint.source),
          .footprint = footprint,
          .available = available,
          .is_synthetic = checkpoint.config_from == kSynthetic};
}

// What was asked for, with the device named.
struct Choice {
  EngineOptions options;
  std::string why_cpu;  // that device "auto" came to
};

// The one place that picks a device: "auto" is a GPU where there is one that the model fits, unless something was asked for
// that only the CPU does, or the model is so small that it is done before a GPU has begun.
Choice choose(const Checkpoint& checkpoint, const EngineOptions& options) {
  constexpr std::uint64_t kWorthAGpu = std::uint64_t(1) << 30;  // bytes; opening a GPU takes some tenths of a second
  Choice choice{.options = options, .why_cpu = ""};
  if (options.device != "auto") return choice;
  choice.why_cpu = !options.isa.empty()                                ? "instructions of the CPU were asked for"
                   : options.weights == name_of(WeightStorage::mapped) ? "mapped weights were asked for"
                   : checkpoint.source->size_bytes() < kWorthAGpu      ? "a model this small starts sooner on the CPU"
                                                                       : why_no_cuda();
  if (choice.why_cpu.empty()) {
    choice.options.device = "cuda";
    try {
      const Limits limits = limits_for(checkpoint.config, choice.options);
      const std::unique_ptr<Footprint> footprint = make_footprint(choice.options, limits);
      model::Weights unloaded;
      require_fit(plan_of(checkpoint, *footprint, memory_for(choice.options, limits), unloaded), limits);
      return choice;
    } catch (const Error& error) {
      if (error.code != ErrorCode::out_of_memory && error.code != ErrorCode::device_failed) throw;
      choice.why_cpu = concat("on the GPU, ", error.what());
    }
  }
  choice.options.device = "cpu";
  return choice;
}

Inspection inspection_of(const Checkpoint& checkpoint, const Planned& planned, const Limits& limits,
                         const Choice& choice) {
  const model::GrokConfig& config = checkpoint.config;
  Inspection inspection{.path = checkpoint.path,
                        .format = checkpoint.source->description(),
                        .config_from = checkpoint.config_from,
                        .tokenizer = checkpoint.tokenizer,
                        .config = config,
                        .generation = checkpoint.generation,
                        .tensors = {},
                        .file_bytes = checkpoint.source->size_bytes(),
                        .memory = plan_memory(planned, limits),
                        .device = choice.options.device,
                        .why_cpu = choice.why_cpu};
  const std::vector<format::StoredParameter>& parameters =
      checkpoint.source->parameters();  // in the order of the weights
  for (std::size_t index = 0; index < parameters.size(); ++index) {
    const format::StoredParameter& parameter = parameters[index];
    inspection.tensors.push_back(describe(parameter));
    const bool is_per_expert = parameter.weight.shape.size() == 3;
    const auto share_of_a_token = [&](std::uint64_t size) {
      return is_per_expert ? size / std::uint64_t(config.num_experts) * std::uint64_t(config.experts_per_token) : size;
    };
    const std::uint64_t size = num_elements(parameter.weight.shape);
    inspection.num_parameters += size;
    inspection.num_active_parameters += share_of_a_token(size);
    inspection.weight_bytes_per_token += share_of_a_token(planned.weights[index].step_bytes);
  }
  return inspection;
}

// One seed: two runs of a benchmark are of the same network.
constexpr std::uint64_t kSyntheticSeed = 1;

Checkpoint synthetic_checkpoint(const model::GrokConfig& config) {
  model::check_ranges(config, kSynthetic);  // before anything is sized by it
  return {.source = make_synthetic_source(config, kSyntheticSeed),
          .config = config,
          .path = kSynthetic,
          .config_from = kSynthetic,
          .tokenizer = ""};
}

bool is_plan(const std::string& path) {
  std::error_code ignored;
  return path == kPlannedPath &&
         std::filesystem::symlink_status(path, ignored).type() == std::filesystem::file_type::not_found;
}

}  // namespace

std::vector<std::string> usable_isas() { return cpu::cpu_isas(); }

int default_cpu_threads() { return platform::usable_cores(); }

std::string why_no_cuda() {
#if defined(GROK_WITH_CUDA)
  return cuda::why_no_cuda_device();
#else
  return "this build has no CUDA backend";
#endif
}

Inspection inspect(const std::string& path, const EngineOptions& options) {
  const bool from_shapes = is_plan(path);
  const Checkpoint checkpoint = from_shapes ? synthetic_checkpoint(model::GrokConfig()) : open_checkpoint(path);
  const Choice choice = choose(checkpoint, options);
  const Limits limits = limits_for(checkpoint.config, choice.options);
  const std::unique_ptr<Footprint> footprint = make_footprint(choice.options, limits);
  model::Weights unloaded;
  Inspection inspection = inspection_of(
      checkpoint, plan_of(checkpoint, *footprint, memory_for(choice.options, limits), unloaded), limits, choice);
  if (from_shapes) {
    inspection.is_plan = true;
    inspection.path = kPlannedPath;
    inspection.format = "known shapes, no file was read";
    inspection.config_from = "built in (Grok-1)";
    for (TensorInfo& tensor : inspection.tensors) tensor.file.clear();
  }
  return inspection;
}

namespace {

std::unique_ptr<Engine> open_engine(Checkpoint checkpoint, const EngineOptions& options) {
  const Choice choice = choose(checkpoint, options);
  const Limits limits = limits_for(checkpoint.config, choice.options);
  std::unique_ptr<Backend> backend = make_backend(choice.options, limits);
  model::Weights unloaded;
  const Planned planned = plan_of(checkpoint, backend->footprint(), memory_for(choice.options, limits), unloaded);
  require_fit(planned, limits);
  Inspection inspection = inspection_of(checkpoint, planned, limits, choice);
  return std::make_unique<DeviceEngine>(std::move(backend), std::move(checkpoint.source), std::move(inspection),
                                        limits);
}

}  // namespace

std::unique_ptr<Engine> Engine::open(const std::string& path, const EngineOptions& options) {
  return open_engine(open_checkpoint(path), options);
}

std::unique_ptr<Engine> Engine::open_synthetic(const model::GrokConfig& config, const EngineOptions& options) {
  if (options.weights == name_of(WeightStorage::mapped))
    throw Error(ErrorCode::invalid_argument, "expected weights to be \"packed\": made-up ones have no file to map");
  return open_engine(synthetic_checkpoint(config), options);
}

}  // namespace grok::runtime
