#pragma once

#include <memory>
#include <utility>

#include "runtime/engine.h"
#include "runtime/limits.h"
#include "runtime/model_plan.h"

// Engines for tests, on any backend and any weights, without Engine::open's check of a device's memory.
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

// Runs one step of these sequences.
inline std::vector<runtime::SequenceOutput> step_of(runtime::Engine& engine,
                                                    std::vector<runtime::SequenceId> sequences) {
  engine.set_runnable(std::move(sequences));
  return engine.step();
}

// No weight is loaded.
inline std::unique_ptr<runtime::Engine> engine_on(std::unique_ptr<Backend> backend,
                                                  std::unique_ptr<format::TensorSource> source,
                                                  const model::GrokConfig& config,
                                                  const runtime::EngineOptions& options) {
  runtime::Checkpoint checkpoint;
  checkpoint.source = std::move(source);
  checkpoint.config = config;
  runtime::ModelPlan plan = runtime::bind_model(std::move(checkpoint), options, runtime::limits_for(config, options));
  runtime::plan_memory(plan, backend->footprint(), std::nullopt);
  return std::make_unique<runtime::Engine>(std::move(backend), std::move(plan));
}

}  // namespace grok::testing
