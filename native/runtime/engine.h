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
#include "runtime/cache_manager.h"
#include "runtime/checkpoint.h"
#include "runtime/inspection.h"
#include "runtime/model_plan.h"
#include "runtime/model_runner.h"
#include "runtime/options.h"
#include "runtime/request.h"
#include "runtime/sequence.h"
#include "runtime/step_batch.h"

namespace grok::runtime {

// Counters since the model was opened, and the current state of its cache.
struct EngineStats {
  std::uint64_t steps = 0;
  std::uint64_t prompt_tokens = 0;     // computed by steps
  std::uint64_t reused_tokens = 0;     // found in the cache instead
  std::uint64_t generated_tokens = 0;  // drawn by steps
  int cache_pages = 0;                 // of kPageSize positions each
  int free_cache_pages = 0;            // used by no sequence
  int prefix_cache_pages = 0;          // whose contents can be found by other sequences
};

// The sequences that share a model and its cache, and their scheduling. One thread calls load_next() and step(); other
// threads may call all other methods meanwhile.
class Engine {
 public:
  // Checks names, shapes, types and memory. Reads no weight.
  static std::unique_ptr<Engine> open(const std::string& path, const EngineOptions& options);
  static std::unique_ptr<Engine> open(Checkpoint checkpoint, const EngineOptions& options);
  // The same with synthetic weights (runtime/synthetic.h), which cannot be mapped.
  static std::unique_ptr<Engine> open_synthetic(const model::GrokConfig& config, const EngineOptions& options);

  // `plan` was made for `backend`. Throws out_of_memory if the device has less memory than planned.
  Engine(std::unique_ptr<Backend> backend, ModelPlan plan);

  const Inspection& inspection() const { return inspection_; }
  std::string device() const { return runner_.device(); }  // "cpu (avx2, 2 threads)"
  int context_length() const { return plan_.limits.context_length; }
  int max_sequences() const { return plan_.limits.max_sequences; }

  // Loads one tensor. Call until done.
  LoadProgress load_next();

  // Checks the request (invalid_argument, context_overflow) and queues it. First come, first served: a sequence waits
  // until the cache has room for all of its tokens that others have not computed.
  SequenceId submit(SequenceRequest request);

  // Sets the sequences that steps may run, starting with the next step. Unknown ids are ignored.
  void set_runnable(std::vector<SequenceId> sequences);

  // Runs one forward pass for the runnable sequences that hold cache: each advances by one token, or by one chunk of
  // its prompt. Sequences that finished are released. Throws cancelled after stop(). If a step fails, it throws a
  // StepError and releases the sequences that it names, because their cache may be half-written.
  std::vector<SequenceOutput> step();

  // Gives the cache of a sequence back, at once or at the end of the current step. The sequence keeps its place among
  // those that wait, and goes on with the same tokens: it computes again those that the cache no longer holds. Unknown
  // ids are ignored.
  void suspend(SequenceId sequence);

  // Releases a sequence and its cache: at once, or at the end of the current step if that runs it. A step ends before
  // its next layer if all of its sequences were released. Unknown ids are ignored, because the sequence may just have
  // finished.
  void release(SequenceId sequence);

  EngineStats stats();

  // Permanent: the current step ends before its next layer, later ones at once.
  void stop() { stopped_ = true; }

 private:
  bool is_runnable(SequenceId id) const;
  void admit_waiting();
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
  // guards all following members, except the contents of a sequence in a step
  std::mutex mutex_;
  CacheManager cache_;                        // pages of the runner's cache
  std::map<SequenceId, Sequence> sequences_;  // oldest first
  std::vector<SequenceId> runnable_;          // ascending
  SequenceId next_id_ = 1;
  EngineStats counted_;  // without the state of the cache
};

}  // namespace grok::runtime
