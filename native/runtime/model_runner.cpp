#include "runtime/model_runner.h"

#include <utility>

#include "runtime/memory_plan.h"

namespace grok::runtime {

ModelRunner::ModelRunner(std::unique_ptr<Backend> backend, const ModelPlan& plan)
    : backend_(std::move(backend)), plan_(plan), weights_(plan.checkpoint.config.num_layers) {
  const model::GrokConfig& config = plan.checkpoint.config;
  const Limits& limits = plan.limits;
  for (const model::BoundWeight& weight : plan.network.weights) progress_.total_bytes += weight.stored_bytes();
  const StepSize largest = largest_step(config, limits, plan.network.layers);
  backend_->reserve_scratch(largest);
  workspace_ = std::make_unique<model::Workspace>(*backend_, config, largest);
  cache_ = std::make_unique<KvCache>(*backend_, config, limits.kv_cache_type, num_cache_pages(plan.memory, limits));
}

LoadProgress ModelRunner::load_next() {
  const std::vector<model::BoundWeight>& bound = plan_.network.weights;
  if (num_loaded_ < bound.size()) {
    const model::BoundWeight& weight = bound[num_loaded_];
    weight.load(*backend_, weights_);
    ++num_loaded_;
    progress_.tensor = weight.stored->name;
    progress_.loaded_bytes += weight.stored_bytes();
  }
  progress_.done = num_loaded_ == bound.size();
  return progress_;
}

void ModelRunner::run(const Batch& host, const std::function<bool()>& should_stop) {
  const Batch staged = backend_->stage(host);
  backend_->step([&] {
    model::forward(plan_.checkpoint.config, weights_, staged, cache_->layers(), *workspace_, *backend_,
                   {.should_stop = should_stop, .observer = {}});
  });
}

std::vector<SampledToken> ModelRunner::sample(std::span<const SampleRow> rows) {
  std::vector<SampledToken> tokens(rows.size());
  if (rows.empty()) return tokens;
  backend_->sample({.out = tokens.data(),
                    .logits = workspace_->logits->as<float>(),
                    .rows = rows.data(),
                    .num_rows = int(rows.size()),
                    .vocab_size = plan_.checkpoint.config.vocab_size});
  return tokens;
}

void ModelRunner::read_logits(std::span<float> logits, int row) {
  backend_->read(logits, workspace_->logits->as<float>() + std::size_t(row) * logits.size());
}

}  // namespace grok::runtime
