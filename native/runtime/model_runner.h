#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "model/forward.h"
#include "model/weights.h"
#include "runtime/kv_cache.h"
#include "runtime/model_plan.h"

namespace grok::runtime {

struct LoadProgress {
  std::string tensor;              // just loaded
  std::uint64_t loaded_bytes = 0;  // of the files
  std::uint64_t total_bytes = 0;
  bool done = false;
};

// A model on one device: its backend, weights, workspace and cache. It knows no sequence: a batch names the pages of the
// cache that it uses. One thread drives it.
class ModelRunner {
 public:
  // `plan` fits and outlives the runner. Throws out_of_memory where the device has less than the plan said.
  ModelRunner(std::unique_ptr<Backend> backend, const ModelPlan& plan);

  std::string device() const { return backend_->description(); }
  const Footprint& footprint() const { return backend_->footprint(); }
  bool is_loaded() const { return progress_.done; }

  // Loads one tensor. Call until done. A tensor that failed is tried again by the next call.
  LoadProgress load_next();

  // Runs the forward pass of a batch in host memory. Throws cancelled if should_stop() is true before a layer; the cache of
  // the batch is undefined then.
  void run(const Batch& host, const std::function<bool()>& should_stop);

  // Turns the first rows of logits of the last run into a token each.
  std::vector<SampledToken> sample(std::span<const SampleRow> rows);

  // Copies one row of logits of the last run.
  void read_logits(std::span<float> logits, int row);

 private:
  // Later members use earlier ones: the backend goes last.
  const std::unique_ptr<Backend> backend_;
  const ModelPlan& plan_;
  model::Weights weights_;
  std::size_t num_loaded_ = 0;
  LoadProgress progress_;
  std::unique_ptr<model::Workspace> workspace_;
  std::unique_ptr<KvCache> cache_;
};

}  // namespace grok::runtime
