#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "model/config.h"
#include "runtime/checkpoint.h"
#include "runtime/inspection.h"
#include "runtime/model_plan.h"
#include "runtime/model_runner.h"
#include "runtime/options.h"
#include "runtime/page_pool.h"
#include "runtime/request.h"
#include "runtime/sequence.h"
#include "runtime/step_batch.h"

namespace grok::runtime {

// Counters since the model was opened, and the state of its cache now.
struct EngineStats {
  std::uint64_t steps = 0;
  std::uint64_t prompt_tokens = 0;     // read by steps
  std::uint64_t generated_tokens = 0;  // drawn by steps
  int cache_pages = 0;                 // of kPageSize positions each
  int free_cache_pages = 0;
};

// The sequences that share a model and its cache, and which of them run when. One thread drives it with load_next() and
// step(); all else may be called from any other meanwhile.
class Engine {
 public:
  // Checks names, shapes, types and memory. Reads no weight.
  static std::unique_ptr<Engine> open(const std::string& path, const EngineOptions& options);
  static std::unique_ptr<Engine> open(Checkpoint checkpoint, const EngineOptions& options);
  // The same with made-up weights (runtime/synthetic.h), which cannot be mapped.
  static std::unique_ptr<Engine> open_synthetic(const model::GrokConfig& config, const EngineOptions& options);

  // The plan fits `backend`. Throws out_of_memory where the device has less than the plan said.
  Engine(std::unique_ptr<Backend> backend, ModelPlan plan);

  const Inspection& inspection() const { return inspection_; }
  std::string device() const { return runner_.device(); }  // "cpu (AVX2, 2 threads)"
  int context_length() const { return plan_.limits.context_length; }
  int max_sequences() const { return plan_.limits.max_sequences; }

  // Loads one tensor. Call until done.
  LoadProgress load_next();

  // Checks the request (invalid_argument, context_overflow) and queues it. First come, first served: a sequence waits
  // until the cache has room for all it asked for.
  SequenceId submit(SequenceRequest request);

  // Names the sequences that steps may run, from the next one on that begins. Unknown ids are ignored.
  void set_runnable(std::vector<SequenceId> sequences);

  // One forward pass for the runnable sequences that hold cache: each advances by one token, or by one chunk of its prompt.
  // Sequences that finished are released. Throws cancelled when stop() was called. A step that fails on its way throws a
  // StepError and releases the sequences that it names, since their cache may be half-written.
  std::vector<SequenceOutput> step();

  // Forgets a sequence and gives its cache back: at once, or at the end of the step that it is part of. A step ends before
  // its next layer when all of its sequences were released. Unknown ids are ignored: it may just have finished.
  void release(SequenceId sequence);

  EngineStats stats();

  // For good: the step in progress ends before its next layer, later ones at once.
  void stop() { stopped_ = true; }

 private:
  void begin_step(std::vector<StepPart>& parts);
  void run(std::span<const StepPart> parts, std::vector<SequenceOutput>& outputs);
  void sample(const StepBatch& batch, std::span<const StepPart> parts, std::vector<SequenceOutput>& outputs);
  void read_kept_logits(const StepBatch& batch, std::span<const StepPart> parts, std::vector<SequenceOutput>& outputs);
  void end_step(std::span<const StepPart> parts, std::vector<SequenceOutput>& outputs);
  void drop(std::span<const StepPart> parts);
  bool should_stop(std::span<const StepPart> parts);
  void throw_if_stopped() const;

  // Later members use earlier ones.
  const ModelPlan plan_;
  ModelRunner runner_;
  const Inspection inspection_;

  std::atomic<bool> stopped_{false};
  std::mutex mutex_;                          // guards all that follows, but not the contents of a sequence in a step
  PagePool pool_;                             // of the runner's cache
  std::map<SequenceId, Sequence> sequences_;  // oldest first
  std::vector<SequenceId> runnable_;          // ascending
  SequenceId next_id_ = 1;
  EngineStats counted_;  // all but the cache
};

}  // namespace grok::runtime
