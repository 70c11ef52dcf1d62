#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "format/tensor_source.h"
#include "model/forward.h"
#include "model/weights.h"
#include "runtime/engine.h"
#include "runtime/kv_cache.h"
#include "runtime/limits.h"
#include "runtime/sequence.h"
#include "runtime/step_batch.h"

namespace grok::runtime {

// The engine on one device.
class DeviceEngine final : public Engine {
 public:
  // `inspection` is of `source`, and its plan fits. Throws out_of_memory where the device has less than it said.
  DeviceEngine(std::unique_ptr<Backend> backend, std::unique_ptr<format::TensorSource> source, Inspection inspection,
               const Limits& limits);

  const Inspection& inspection() const override { return inspection_; }
  std::string device() const override { return backend_->description(); }
  int context_length() const override { return limits_.context_length; }
  int max_sequences() const override { return limits_.max_sequences; }

  LoadProgress load_next() override;
  SequenceId submit(SequenceRequest request) override;
  std::vector<SequenceOutput> step(std::span<const SequenceId> runnable) override;
  void release(SequenceId sequence) override;
  EngineStats stats() override;
  void stop() override { stopped_ = true; }

 private:
  void begin_step(std::span<const SequenceId> runnable, std::vector<StepPart>& parts);
  void run(std::span<const StepPart> parts, std::vector<SequenceOutput>& outputs);
  void sample(const StepBatch& batch, std::span<const StepPart> parts, std::vector<SequenceOutput>& outputs);
  void read_kept_logits(const StepBatch& batch, std::span<const StepPart> parts, std::vector<SequenceOutput>& outputs);
  void end_step(std::span<const StepPart> parts, std::vector<SequenceOutput>& outputs);
  void drop(std::span<const StepPart> parts);
  bool should_stop(std::span<const StepPart> parts);
  void throw_if_stopped() const;

  // Later members use earlier ones: the backend goes last.
  const std::unique_ptr<Backend> backend_;
  const std::unique_ptr<format::TensorSource> source_;
  const Inspection inspection_;
  const Limits limits_;
  model::Weights weights_;
  std::vector<model::BoundWeight> bound_;
  std::size_t num_loaded_ = 0;
  LoadProgress progress_;
  std::unique_ptr<model::Workspace> workspace_;
  std::unique_ptr<KvCache> cache_;

  std::atomic<bool> stopped_{false};
  std::mutex mutex_;  // guards what follows, and the cache's pool; not what a sequence in a step holds
  std::map<SequenceId, Sequence> sequences_;  // oldest first
  SequenceId next_id_ = 1;
  EngineStats counted_;  // all but the cache
};

}  // namespace grok::runtime
