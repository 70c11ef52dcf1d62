#include "runtime/inspection.h"

#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "runtime/devices.h"

namespace grok::runtime {
namespace {

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

bool is_plan(const std::string& path) {
  std::error_code ignored;
  return path == kPlannedPath &&
         std::filesystem::symlink_status(path, ignored).type() == std::filesystem::file_type::not_found;
}

}  // namespace

Inspection inspection_of(const ModelPlan& plan, const Footprint& footprint) {
  const Checkpoint& checkpoint = plan.checkpoint;
  const model::GrokConfig& config = checkpoint.config;
  Inspection inspection{.path = checkpoint.path,
                        .format = checkpoint.source->description(),
                        .config_from = checkpoint.config_from,
                        .tokenizer = checkpoint.tokenizer,
                        .config = config,
                        .generation = checkpoint.generation,
                        .tensors = {},
                        .file_bytes = checkpoint.source->size_bytes(),
                        .memory = plan.memory,
                        .device = plan.options.device,
                        .why_cpu = plan.why_cpu};
  for (const model::BoundWeight& weight : plan.network.weights) {
    const Shape& shape = weight.stored->weight.shape;
    inspection.tensors.push_back(describe(*weight.stored));
    const bool is_per_expert = shape.size() == 3;
    const auto share_of_a_token = [&](std::uint64_t size) {
      return is_per_expert ? size / std::uint64_t(config.num_experts) * std::uint64_t(config.experts_per_token) : size;
    };
    const std::uint64_t size = num_elements(shape);
    inspection.num_parameters += size;
    inspection.num_active_parameters += share_of_a_token(size);
    inspection.weight_bytes_per_token += share_of_a_token(weight.step_bytes(footprint));
  }
  return inspection;
}

Inspection inspect(const std::string& path, const EngineOptions& options) {
  const bool from_shapes = is_plan(path);
  const ModelPlan plan =
      plan_model(from_shapes ? synthetic_checkpoint(model::GrokConfig()) : open_checkpoint(path), options);
  Inspection inspection = inspection_of(plan, *make_footprint(plan.options, plan.limits));
  if (from_shapes) {
    inspection.is_plan = true;
    inspection.path = kPlannedPath;
    inspection.format = "known shapes, no file was read";
    inspection.config_from = "built in (Grok-1)";
    for (TensorInfo& tensor : inspection.tensors) tensor.file.clear();
  }
  return inspection;
}

}  // namespace grok::runtime
