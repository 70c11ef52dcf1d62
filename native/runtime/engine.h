#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "core/error.h"
#include "model/config.h"
#include "model/generation_config.h"

namespace grok::runtime {

struct EngineOptions {
  std::string device = "auto";        // "auto", "cpu", "cuda"
  int num_threads = 0;                // 0: as many as the process may use
  std::string isa = {};               // "": the best
  int context_length = 0;             // tokens a sequence may have; 0: the model's
  int max_sequences = 0;              // sequences that hold cache at once; 0: 4
  int prefill_chunk = 0;              // prompt tokens one step takes at most; 0: 512
  std::string kv_cache_type = "f32";  // "f32", "bf16", "int8"
  std::string weights = "packed";     // "packed", "mapped": backend.h, WeightStorage
  std::uint64_t memory_limit = 0;     // bytes; 0: what the device has available
};

// Bytes, before anything is allocated.
struct MemoryPlan {
  std::uint64_t weights = 0;  // as the backend keeps them; what stays in the files is not counted
  WeightStorage weight_storage = WeightStorage::packed;
  std::uint64_t kv_cache = 0;  // all sequences at full length; touched only as it is used
  KvCacheType kv_cache_type = KvCacheType::f32;
  std::uint64_t workspace = 0;                  // activations of a step, and what operations need while they run
  std::uint64_t reserve = 0;                    // stays free
  std::uint64_t kv_page = 0;                    // kPageSize positions of the cache in all layers
  std::optional<std::uint64_t> available = {};  // what the limit or the device allows; none: there is no such device
  std::uint64_t total() const { return weights + kv_cache + workspace + reserve; }
};

struct TensorInfo {
  std::string name, file, dtype;
  Shape shape;
  Shape scales_shape;  // empty: not quantised
  std::uint64_t size_bytes = 0;
};

// All that can be said of a checkpoint from its headers.
struct Inspection {
  std::string path;         // the directory or file that holds the tensors
  std::string format;       // "ckpt-0 (770 files)"
  std::string config_from;  // "config.json" or "built in (Grok-1)"
  std::string tokenizer;    // path of the tokenizer.model that lies beside it, or empty
  model::GrokConfig config;
  model::GenerationConfig generation = {};
  std::vector<TensorInfo> tensors;
  std::uint64_t file_bytes = 0;
  std::uint64_t num_parameters = 0;          // scales not counted
  std::uint64_t num_active_parameters = 0;   // used for one token
  std::uint64_t weight_bytes_per_token = 0;  // as the backend has them; read to decode one token by itself
  MemoryPlan memory;
  std::string device;    // "cpu" or "cuda": the device that a load would choose
  std::string why_cpu;   // that device "auto" came to; empty: a device was asked for by name
  bool is_plan = false;  // the known shapes of Grok-1: no file was read
};

// The path that stands for Grok-1 before its files are there.
inline constexpr const char* kPlannedPath = "grok-1";

using SequenceId = std::int64_t;  // counts up, and JavaScript has it as a number: 2^53 of them are never reached

enum class PromptOutputs { none, logprobs, logits };

// One prompt to continue, to score, or both.
struct SequenceRequest {
  std::vector<std::int32_t> prompt;  // at least one id
  int max_tokens = 0;                // to generate; prompt + max_tokens must fit the context
  PromptOutputs prompt_outputs = PromptOutputs::none;
  SamplingParams sampling = {};
  std::vector<TokenBias> bias = {};
  std::uint64_t seed = 0;
  std::vector<std::int32_t> stop_tokens = {};  // generation ends when one is drawn; it is reported
};

enum class Finish { no, stop, length };

// What one step brought for one sequence.
struct SequenceOutput {
  SequenceId sequence = 0;
  int prompt_tokens_done = 0;         // of the prompt, so far
  std::optional<SampledToken> token;  // the one generated
  std::vector<SampledToken> prompt;   // PromptOutputs::logprobs: prompt tokens first .. , each given its predecessors
  std::vector<float> logits;          // PromptOutputs::logits: [rows, vocab_size], rows of this step
  Finish finish = Finish::no;
  // The first position whose logits have a NaN or infinity: it ended the sequence, and the rest of this output is void.
  std::optional<int> not_finite_at;
};

// A step that failed, and the sequences that were part of it. No sequences: it failed before it changed any.
struct StepError : Error {
  StepError(Error error, std::vector<SequenceId> sequences)
      : Error(std::move(error)), sequences(std::move(sequences)) {}

  std::vector<SequenceId> sequences;
};

// Counters since the model was opened, and the state of its cache now.
struct EngineStats {
  std::uint64_t steps = 0;
  std::uint64_t prompt_tokens = 0;     // read by steps
  std::uint64_t generated_tokens = 0;  // drawn by steps
  int cache_pages = 0;                 // of kPageSize positions each
  int free_cache_pages = 0;
};

struct LoadProgress {
  std::string tensor;              // just loaded
  std::uint64_t loaded_bytes = 0;  // of the files
  std::uint64_t total_bytes = 0;
  bool done = false;
};

// Reads headers only, and needs no device: without one, the plan says what one would have to have. kPlannedPath is Grok-1
// by its known shapes, unless a file or directory has that name. Throws not_found, io, bad_checkpoint, unsupported, invalid_argument, and cuda_unavailable where the build has no CUDA backend.
Inspection inspect(const std::string& path, const EngineOptions& options);

// Instruction sets that device "cpu" can be asked for, best first.
std::vector<std::string> usable_isas();
// Threads of an engine on the CPU that is asked for no number of them.
int default_cpu_threads();

// Why device "cuda" cannot be used, or "" when it can.
std::string why_no_cuda();

// A model, its cache and the sequences that share them. One thread drives it with load_next() and step(); submit(),
// release(), stats() and stop() may be called from any other meanwhile.
class Engine {
 public:
  // Checks names, shapes, types and memory. Reads no weight.
  static std::unique_ptr<Engine> open(const std::string& path, const EngineOptions& options);
  // The same with made-up weights (runtime/synthetic.h), which cannot be mapped.
  static std::unique_ptr<Engine> open_synthetic(const model::GrokConfig& config, const EngineOptions& options);
  virtual ~Engine() = default;

  virtual const Inspection& inspection() const = 0;
  virtual std::string device() const = 0;  // "cpu (AVX2, 2 threads)"
  virtual int context_length() const = 0;
  virtual int max_sequences() const = 0;

  // Loads one tensor. Call until done.
  virtual LoadProgress load_next() = 0;

  // Checks the request (invalid_argument, context_overflow) and queues it. First come, first served: a sequence waits
  // until the cache has room for all it asked for.
  virtual SequenceId submit(SequenceRequest request) = 0;

  // One forward pass for those of `runnable` that hold cache: each advances by one token, or by one chunk of its prompt.
  // Sequences that finished are released. Throws cancelled when stop() was called. A step that fails on its way throws a
  // StepError and releases the sequences that it names, since their cache may be half-written.
  virtual std::vector<SequenceOutput> step(std::span<const SequenceId> runnable) = 0;

  // Forgets a sequence and gives its cache back: at once, or at the end of the step that it is part of. A step ends before
  // its next layer when all of its sequences were released. Unknown ids are ignored: it may just have finished.
  virtual void release(SequenceId sequence) = 0;

  virtual EngineStats stats() = 0;

  // For good: the step in progress ends before its next layer, later ones at once.
  virtual void stop() = 0;
};

}  // namespace grok::runtime
