#pragma once

#include <memory>
#include <utility>

#include "model/weights.h"
#include "runtime/device_engine.h"
#include "runtime/limits.h"
#include "runtime/memory_plan.h"

// Engines for tests, on any backend and any weights, without the look at a device's memory that Engine::open takes.
namespace grok::testing {

inline model::GrokConfig small_config() {
  model::GrokConfig config;
  config.vocab_size = 40;
  config.context_length = 1024;
  config.d_model = 48;
  config.num_layers = 2;
  config.num_q_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 8;
  config.d_ff = 64;
  config.num_experts = 4;
  return config;
}

// Nothing of it is loaded.
inline std::unique_ptr<runtime::DeviceEngine> engine_on(std::unique_ptr<Backend> backend,
                                                        std::unique_ptr<format::TensorSource> source,
                                                        const model::GrokConfig& config,
                                                        const runtime::EngineOptions& options) {
  const runtime::Limits limits = runtime::limits_for(config, options);
  model::Weights unloaded;
  const runtime::Planned planned{.config = config,
                                 .weights = model::bind_weights(config, *source, backend->footprint(), unloaded),
                                 .layers = model::layer_views(config, *source),
                                 .footprint = backend->footprint()};
  runtime::Inspection inspection;
  inspection.config = config;
  inspection.memory = runtime::plan_memory(planned, limits);
  return std::make_unique<runtime::DeviceEngine>(std::move(backend), std::move(source), std::move(inspection), limits);
}

}  // namespace grok::testing
