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
  std::string tensor;              // the last one loaded
  std::uint64_t loaded_bytes = 0;  // of the files
  std::uint64_t total_bytes = 0;
  bool done = false;
};

// A model on one device: its backend, weights, workspace and cache. It knows no sequences: a batch names its pages of
// the cache. One thread uses it.
class ModelRunner {
 public:
  // `plan` fits and outlives the runner. Throws out_of_memory if the device has less memory than planned.
  ModelRunner(std::unique_ptr<Backend> backend, const ModelPlan& plan);

  std::string device() const { return backend_->description(); }
  const Footprint& footprint() const { return backend_->footprint(); }
  bool is_loaded() const { return progress_.done; }

  // Loads one tensor. Call until done. After an error, the next call tries the same tensor again.
  LoadProgress load_next();

  // Runs the forward pass of a batch in host memory. Throws cancelled if should_stop() is true before a layer; the
  // cache of the batch is then undefined.
  void run(const Batch& host, const std::function<bool()>& should_stop);

  // Chooses a token for each of the first rows of logits of the last run.
  std::vector<SampledToken> sample(std::span<const SampleRow> rows);

  // Copies one row of logits of the last run.
  void read_logits(std::span<float> logits, int row);

 private:
  // Later members use earlier ones: the backend is destroyed last.
  const std::unique_ptr<Backend> backend_;
  const ModelPlan& plan_;
  model::Weights weights_;
  std::size_t num_loaded_ = 0;
  LoadProgress progress_;
  std::unique_ptr<model::Workspace> workspace_;
  std::unique_ptr<KvCache> cache_;
};

}  // namespace grok::runtime
