#include "runtime/model_plan.h"

#include <memory>
#include <utility>
#include <vector>

#include "core/error.h"
#include "runtime/devices.h"

namespace grok::runtime {
namespace {

SizedNetwork sized(const ModelPlan& plan, const Footprint& footprint, std::optional<std::uint64_t> available) {
  SizedNetwork network{.config = plan.checkpoint.config,
                       .weights = {},
                       .layers = plan.network.layers,
                       .footprint = footprint,
                       .available = available,
                       .is_synthetic = plan.checkpoint.is_synthetic};
  for (const model::BoundWeight& weight : plan.network.weights)
    network.weights.push_back({.layer = weight.id.layer, .resident_bytes = weight.resident_bytes(footprint)});
  return network;
}

// Why device "auto" is the CPU, regardless of memory; empty: it may be a GPU.
std::string why_not_cuda(const Checkpoint& checkpoint, const EngineOptions& options) {
  constexpr std::uint64_t kWorthAGpu = std::uint64_t(1) << 30;  // bytes; opening a GPU takes some tenths of a second
  if (!options.isa.empty()) return "an instruction set of the CPU was requested";
  if (options.weights == name_of(WeightStorage::mapped)) return "mapped weights were requested";
  if (checkpoint.source->size_bytes() < kWorthAGpu) return "a model this small starts sooner on the CPU";
  return why_no_cuda();
}

// Adds mapped weights to the fits, with other changes only if mapping alone is not enough.
void add_mapped_fits(const ModelPlan& plan, std::vector<MemoryFit>& found) {
  Limits limits = plan.limits;
  limits.weight_storage = WeightStorage::mapped;
  const std::unique_ptr<Footprint> footprint = make_footprint(plan.options, limits);
  const SizedNetwork network = sized(plan, *footprint, plan.memory.available);
  if (fits(network, limits)) {
    found.push_back({.weights = WeightStorage::mapped});
  } else if (found.empty()) {
    found = nearest_fits(network, limits);
    for (MemoryFit& fit : found) fit.weights = WeightStorage::mapped;
  }
}

// Memory of the device, without regard to the limit.
std::uint64_t device_memory(const ModelPlan& plan) {
  EngineOptions options = plan.options;
  options.memory_limit = 0;
  return memory_for(options, plan.limits).value_or(0);
}

void plan_for_device(ModelPlan& plan, const Footprint& footprint) {
  plan_memory(plan, footprint, memory_for(plan.options, plan.limits));
}

}  // namespace

ModelPlan bind_model(Checkpoint checkpoint, const EngineOptions& options, Limits limits) {
  model::BoundNetwork network = model::bind_weights(checkpoint.config, *checkpoint.source, *checkpoint.naming);
  return {.checkpoint = std::move(checkpoint),
          .options = options,
          .why_cpu = "",
          .limits = limits,
          .network = std::move(network),
          .memory = {}};
}

void plan_memory(ModelPlan& plan, const Footprint& footprint, std::optional<std::uint64_t> available) {
  plan.memory = plan_memory(sized(plan, footprint, available), plan.limits);
}

void require_fit(const ModelPlan& plan, const Footprint& footprint) {
  try {
    require_fit(sized(plan, footprint, plan.memory.available), plan.limits);
  } catch (MemoryError& error) {
    if (plan.limits.weight_storage == WeightStorage::packed && footprint.can_map_weights() &&
        !plan.checkpoint.is_synthetic)
      add_mapped_fits(plan, error.fits);
    if (plan.options.memory_limit != 0 && device_memory(plan) >= error.needed_bytes)
      error.fits.push_back({.memory_limit = error.needed_bytes});
    throw;
  }
}

ModelPlan plan_model(Checkpoint checkpoint, const EngineOptions& given) {
  const bool is_auto = given.device == "auto";
  std::string why_cpu = is_auto ? why_not_cuda(checkpoint, given) : "";
  EngineOptions options = given;
  if (is_auto) options.device = why_cpu.empty() ? "cuda" : "cpu";
  const Limits limits = limits_for(checkpoint.config, options);
  std::unique_ptr<Footprint> footprint = make_footprint(options, limits);

  ModelPlan plan = bind_model(std::move(checkpoint), options, limits);
  plan.why_cpu = std::move(why_cpu);
  if (is_auto && options.device == "cuda") {
    try {
      plan_for_device(plan, *footprint);
      require_fit(plan, *footprint);
      return plan;
    } catch (const Error& error) {
      if (error.code != ErrorCode::out_of_memory && error.code != ErrorCode::device_failed) throw;
      plan.why_cpu = concat("on the GPU, ", error.what());
    }
    plan.options.device = "cpu";
    footprint = make_footprint(plan.options, limits);
  }
  plan_for_device(plan, *footprint);
  return plan;
}

}  // namespace grok::runtime
