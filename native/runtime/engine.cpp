#include "runtime/engine.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "core/finite.h"
#include "runtime/devices.h"
#include "runtime/memory_plan.h"
#include "runtime/request_check.h"
#include "runtime/scheduler.h"

namespace grok::runtime {
namespace {

// Prompt tokens of a step in which other sequences decode.
constexpr int kMostPromptTokensBeside = 128;

}  // namespace

std::unique_ptr<Engine> Engine::open(const std::string& path, const EngineOptions& options) {
  return open(open_checkpoint(path), options);
}

std::unique_ptr<Engine> Engine::open_synthetic(const model::GrokConfig& config, const EngineOptions& options) {
  if (options.weights == name_of(WeightStorage::mapped))
    throw Error(ErrorCode::invalid_argument,
                "expected weights to be \"packed\": synthetic weights have no file to map");
  return open(synthetic_checkpoint(config), options);
}

std::unique_ptr<Engine> Engine::open(Checkpoint checkpoint, const EngineOptions& options) {
  ModelPlan plan = plan_model(std::move(checkpoint), options);
  std::unique_ptr<Backend> backend = make_backend(plan.options, plan.limits);
  // the backend has taken some memory by now
  plan_memory(plan, backend->footprint(), memory_for(plan.options, plan.limits));
  require_fit(plan, backend->footprint());
  return std::make_unique<Engine>(std::move(backend), std::move(plan));
}

Engine::Engine(std::unique_ptr<Backend> backend, ModelPlan plan)
    : plan_(std::move(plan)),
      runner_(std::move(backend), plan_),
      inspection_(inspection_of(plan_, runner_.footprint())),
      cache_(num_cache_pages(plan_.memory, plan_.limits), plan_.options.prefix_cache) {}

LoadProgress Engine::load_next() {
  throw_if_stopped();
  return runner_.load_next();
}

SequenceId Engine::submit(SequenceRequest request) {
  throw_if_stopped();
  check_request(request, plan_.checkpoint.config, plan_.limits.context_length);
  Sequence sequence(std::move(request));
  const std::lock_guard lock(mutex_);
  sequences_.emplace(next_id_, std::move(sequence));
  return next_id_++;
}

void Engine::release(SequenceId id) {
  const std::lock_guard lock(mutex_);
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return;
  if (found->second.in_step)
    found->second.released = true;
  else
    sequences_.erase(found);
}

void Engine::suspend(SequenceId id) {
  const std::lock_guard lock(mutex_);
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return;
  if (found->second.in_step)
    found->second.suspended = true;
  else
    cache_.release(found->second);
}

EngineStats Engine::stats() {
  const std::lock_guard lock(mutex_);
  EngineStats stats = counted_;
  stats.reused_tokens = cache_.num_reused_tokens();
  stats.cache_pages = cache_.pool().num_pages();
  stats.free_cache_pages = cache_.pool().num_unused();
  stats.prefix_cache_pages = cache_.num_cached_pages();
  return stats;
}

void Engine::set_runnable(std::vector<SequenceId> sequences) {
  std::sort(sequences.begin(), sequences.end());
  const std::lock_guard lock(mutex_);
  runnable_.swap(sequences);
}

std::vector<SequenceOutput> Engine::step() {
  throw_if_stopped();
  if (!runner_.is_loaded())
    throw Error(ErrorCode::invalid_argument, "expected all weights to be loaded before the first step");
  std::vector<StepPart> parts;
  std::vector<SequenceOutput> outputs;
  try {
    begin_step(parts);
    if (parts.empty()) return {};
    outputs.resize(parts.size());
    run(parts, outputs);
    end_step(parts, outputs);
    return outputs;
  } catch (...) {
    drop(parts);
    Error error = current_error();
    // all sequences were released, so nobody waits for an answer
    if (error.code == ErrorCode::cancelled && !stopped_) return {};
    std::vector<SequenceId> ids;
    for (const StepPart& part : parts) ids.push_back(part.id);
    throw StepError(std::move(error), std::move(ids));
  }
}

bool Engine::is_runnable(SequenceId id) const { return std::binary_search(runnable_.begin(), runnable_.end(), id); }

// Gives places in the cache to runnable sequences, oldest first. No younger sequence overtakes one that does not fit, so
// that it cannot starve.
void Engine::admit_waiting() {
  auto num_free = plan_.limits.max_sequences;
  for (const auto& [id, sequence] : sequences_) num_free -= sequence.pages.is_admitted();
  for (auto& [id, sequence] : sequences_) {
    if (sequence.pages.is_admitted() || !is_runnable(id)) continue;
    if (num_free-- == 0 || !cache_.admit(id, sequence)) return;
  }
}

// Chooses the sequences of the next step. `parts` is filled before a sequence is part of the step.
void Engine::begin_step(std::vector<StepPart>& parts) {
  const std::lock_guard lock(mutex_);
  admit_waiting();
  const auto is_active = [this](SequenceId id) {
    const auto found = sequences_.find(id);
    return found != sequences_.end() && found->second.pages.is_admitted() && is_runnable(id);
  };
  std::vector<StepPart> wanted;
  std::vector<Candidate> candidates;
  for (auto& [id, sequence] : sequences_) {
    if (!sequence.pages.is_admitted() || !is_runnable(id)) continue;
    const int computable = cache_.computable_tokens(id, sequence, is_active);
    wanted.push_back({.id = id, .sequence = &sequence});
    candidates.push_back({.decodes = sequence.decodes(),
                          .tokens_left = sequence.tokens_left(),
                          .computable = computable,
                          .every_output = sequence.request.prompt_outputs != PromptOutputs::none});
  }

  const std::vector<int> num_tokens =
      schedule(candidates, {.prompt_tokens = plan_.limits.prefill_chunk,
                            .prompt_tokens_beside = std::min(plan_.limits.prefill_chunk, kMostPromptTokensBeside),
                            .outputs = plan_.limits.max_outputs});
  for (std::size_t index = 0; index < wanted.size(); ++index) wanted[index].num_tokens = num_tokens[index];
  std::erase_if(wanted, [](const StepPart& part) { return part.num_tokens == 0; });
  parts = std::move(wanted);
  for (const StepPart& part : parts) {
    part.sequence->in_step = true;
    cache_.grow(*part.sequence, part.num_tokens);
  }
}

void Engine::run(std::span<const StepPart> parts, std::vector<SequenceOutput>& outputs) {
  const StepBatch batch(parts);
  runner_.run(batch.view(), [&] { return should_stop(parts); });
  sample(batch, parts, outputs);
  read_kept_logits(batch, parts, outputs);
}

// Draws the new tokens and scores the prompt tokens.
void Engine::sample(const StepBatch& batch, std::span<const StepPart> parts, std::vector<SequenceOutput>& outputs) {
  const std::span sampled = std::span(batch.outputs).first(std::size_t(batch.num_sampled));
  std::vector<SampleRow> rows;
  for (const OutputRow& output : sampled) {
    const Sequence& sequence = *parts[std::size_t(output.part)].sequence;
    const SamplingParams& params = sequence.request.sampling;
    SampleRow row;
    if (output.is_generated) {
      row.params = params;
      row.uniform = uniform_draw(sequence.request.seed, sequence.num_generated());
      row.bias = sequence.request.bias;
      row.history = sequence.history ? sequence.history->counts() : std::span<const TokenCount>();
    } else {
      row.params.num_logprobs = params.num_logprobs;
      row.forced = sequence.tokens[std::size_t(output.position) + 1];
    }
    rows.push_back(row);
  }

  std::vector<SampledToken> tokens = runner_.sample(rows);
  for (std::size_t row = 0; row < tokens.size(); ++row) {
    SequenceOutput& output = outputs[std::size_t(sampled[row].part)];
    if (!output.not_finite_at && std::isnan(tokens[row].logprob)) output.not_finite_at = sampled[row].position;
    if (sampled[row].is_generated)
      output.token = std::move(tokens[row]);
    else
      output.prompt.push_back(std::move(tokens[row]));
  }
}

void Engine::read_kept_logits(const StepBatch& batch, std::span<const StepPart> parts,
                              std::vector<SequenceOutput>& outputs) {
  const auto vocab_size = std::size_t(plan_.checkpoint.config.vocab_size);
  for (std::size_t row = 0; row < batch.outputs.size(); ++row) {
    if (!batch.outputs[row].is_kept) continue;
    const auto index = std::size_t(batch.outputs[row].part);
    const Sequence& sequence = *parts[index].sequence;
    SequenceOutput& output = outputs[index];
    const int position = batch.outputs[row].position;
    const int first = std::max(sequence.num_cached, sequence.num_reported);
    const int end = std::min(sequence.num_cached + parts[index].num_tokens, sequence.prompt_size);
    output.logits.resize(std::size_t(end - first) * vocab_size);
    const std::span kept = std::span(output.logits).subspan(std::size_t(position - first) * vocab_size, vocab_size);
    runner_.read_logits(kept, int(row));
    if (!output.not_finite_at && !all_finite(kept)) output.not_finite_at = position;
  }
}

// Advances the sequences, and releases those that finished or were released during the step.
void Engine::end_step(std::span<const StepPart> parts, std::vector<SequenceOutput>& outputs) {
  const std::lock_guard lock(mutex_);
  ++counted_.steps;
  std::vector<SequenceOutput> wanted;
  for (std::size_t index = 0; index < parts.size(); ++index) {
    Sequence& sequence = *parts[index].sequence;
    const SequenceRequest& request = sequence.request;
    SequenceOutput& output = outputs[index];
    sequence.in_step = false;
    const int prompt_left = std::max(0, sequence.prompt_size - sequence.num_cached);
    counted_.prompt_tokens += std::uint64_t(std::min(prompt_left, parts[index].num_tokens));
    counted_.generated_tokens += output.token ? 1 : 0;
    cache_.advance(parts[index].id, sequence, parts[index].num_tokens);
    output.sequence = parts[index].id;
    output.prompt_tokens_done = std::min(sequence.num_cached, sequence.prompt_size);
    sequence.num_reported = std::max(sequence.num_reported, output.prompt_tokens_done);
    if (output.token) {
      const std::int32_t token = output.token->token;
      sequence.add_generated(token);
      const auto& stops = request.stop_tokens;
      if (std::find(stops.begin(), stops.end(), token) != stops.end()) output.finish = Finish::stop;
    }
    if (output.finish == Finish::no && sequence.num_cached >= sequence.prompt_size &&
        sequence.num_generated() == request.max_tokens)
      output.finish = Finish::length;

    if (std::exchange(sequence.suspended, false)) cache_.release(sequence);
    const bool was_released = sequence.released;
    if (was_released || output.not_finite_at || output.finish != Finish::no) sequences_.erase(parts[index].id);
    if (!was_released) wanted.push_back(std::move(output));
  }
  outputs = std::move(wanted);
}

void Engine::drop(std::span<const StepPart> parts) {
  const std::lock_guard lock(mutex_);
  for (const StepPart& part : parts) sequences_.erase(part.id);
}

bool Engine::should_stop(std::span<const StepPart> parts) {
  if (stopped_) return true;
  const std::lock_guard lock(mutex_);
  return std::all_of(parts.begin(), parts.end(), [](const StepPart& part) { return part.sequence->released; });
}

void Engine::throw_if_stopped() const {
  if (stopped_) throw Error(ErrorCode::cancelled, "the engine was stopped");
}

}  // namespace grok::runtime
