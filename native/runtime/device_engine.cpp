#include "runtime/device_engine.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "core/finite.h"
#include "runtime/memory_plan.h"
#include "runtime/request_check.h"
#include "runtime/scheduler.h"

namespace grok::runtime {
DeviceEngine::DeviceEngine(std::unique_ptr<Backend> backend, std::unique_ptr<format::TensorSource> source,
                           Inspection inspection, const Limits& limits)
    : backend_(std::move(backend)), source_(std::move(source)), inspection_(std::move(inspection)), limits_(limits) {
  const model::GrokConfig& config = inspection_.config;
  bound_ = model::bind_weights(config, *source_, backend_->footprint(), weights_);
  for (const model::BoundWeight& weight : bound_) progress_.total_bytes += weight.stored_bytes;
  backend_->reserve_scratch(largest_step(config, limits_, model::layer_views(config, *source_)));
  workspace_ = std::make_unique<model::Workspace>(*backend_, config, limits_.max_tokens, limits_.max_outputs);
  cache_ =
      std::make_unique<KvCache>(*backend_, config, limits_.kv_cache_type, num_cache_pages(inspection_.memory, limits_));
}

LoadProgress DeviceEngine::load_next() {
  throw_if_stopped();
  if (num_loaded_ < bound_.size()) {
    const model::BoundWeight& weight = bound_[num_loaded_];
    weight.load(*backend_);
    ++num_loaded_;  // one that failed is not there: asked again, it says so again
    progress_.tensor = weight.name;
    progress_.loaded_bytes += weight.stored_bytes;
  }
  progress_.done = num_loaded_ == bound_.size();
  return progress_;
}

SequenceId DeviceEngine::submit(SequenceRequest request) {
  throw_if_stopped();
  check_request(request, inspection_.config, limits_.context_length);
  Sequence sequence(std::move(request));
  const std::lock_guard lock(mutex_);
  sequences_.emplace(next_id_, std::move(sequence));
  return next_id_++;
}

void DeviceEngine::release(SequenceId id) {
  const std::lock_guard lock(mutex_);
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return;
  if (found->second.in_step)
    found->second.released = true;
  else
    sequences_.erase(found);
}

EngineStats DeviceEngine::stats() {
  const std::lock_guard lock(mutex_);
  EngineStats stats = counted_;
  stats.cache_pages = cache_->pool().num_pages();
  stats.free_cache_pages = cache_->pool().num_free();
  return stats;
}

std::vector<SequenceOutput> DeviceEngine::step(std::span<const SequenceId> runnable) {
  throw_if_stopped();
  if (!progress_.done)
    throw Error(ErrorCode::invalid_argument, "expected all weights to be loaded before the first step");
  std::vector<StepPart> parts;
  std::vector<SequenceOutput> outputs;
  try {
    begin_step(runnable, parts);
    if (parts.empty()) return {};
    outputs.resize(parts.size());
    run(parts, outputs);
    end_step(parts, outputs);
    return outputs;
  } catch (...) {
    drop(parts);
    Error error = current_error();
    if (error.code == ErrorCode::cancelled && !stopped_) return {};  // all were released: nobody waits for an answer
    std::vector<SequenceId> ids;
    for (const StepPart& part : parts) ids.push_back(part.id);
    throw StepError(std::move(error), std::move(ids));
  }
}

// Picks the sequences of the next step and gives cache to those that have none yet. `parts` is filled before a sequence
// is changed.
void DeviceEngine::begin_step(std::span<const SequenceId> runnable, std::vector<StepPart>& parts) {
  std::vector<SequenceId> sorted(runnable.begin(), runnable.end());
  std::sort(sorted.begin(), sorted.end());
  const std::lock_guard lock(mutex_);
  int num_holding = 0;
  std::vector<StepPart> wanted;
  std::vector<Candidate> candidates;
  for (auto& [id, sequence] : sequences_) {
    num_holding += !sequence.pages.empty();
    if (!std::binary_search(sorted.begin(), sorted.end(), id)) continue;
    wanted.push_back({.id = id, .sequence = &sequence});
    candidates.push_back({.holds_cache = !sequence.pages.empty(),
                          .pages_needed = pages_for(sequence.prompt_size() + sequence.request.max_tokens),
                          .prompt_left = sequence.prompt_left(),
                          .every_output = sequence.request.prompt_outputs != PromptOutputs::none});
  }

  const std::vector<int> num_tokens = schedule(candidates, {.prompt_tokens = limits_.prefill_chunk,
                                                            .outputs = limits_.max_outputs,
                                                            .free_pages = cache_->pool().num_free(),
                                                            .free_slots = limits_.max_sequences - num_holding});
  for (std::size_t index = 0; index < wanted.size(); ++index) wanted[index].num_tokens = num_tokens[index];
  std::erase_if(wanted, [](const StepPart& part) { return part.num_tokens == 0; });
  parts = std::move(wanted);
  for (const StepPart& part : parts) {
    Sequence& sequence = *part.sequence;
    sequence.in_step = true;
    if (sequence.pages.empty())
      sequence.pages = cache_->pool().lease(pages_for(sequence.prompt_size() + sequence.request.max_tokens));
  }
}

void DeviceEngine::run(std::span<const StepPart> parts, std::vector<SequenceOutput>& outputs) {
  const StepBatch batch(parts);
  const Batch staged = backend_->stage(batch.view());
  backend_->step([&] {
    model::forward(inspection_.config, weights_, staged, cache_->layers(), *workspace_, *backend_,
                   {.should_stop = [&] { return should_stop(parts); }, .observer = {}});
  });
  sample(batch, parts, outputs);
  read_kept_logits(batch, parts, outputs);
}

// Draws the new tokens and scores those of prompts.
void DeviceEngine::sample(const StepBatch& batch, std::span<const StepPart> parts,
                          std::vector<SequenceOutput>& outputs) {
  const std::span sampled = std::span(batch.outputs).first(std::size_t(batch.num_sampled));
  if (sampled.empty()) return;
  std::vector<SampleRow> rows;
  for (const OutputRow& output : sampled) {
    const Sequence& sequence = *parts[std::size_t(output.part)].sequence;
    const SamplingParams& params = sequence.request.sampling;
    SampleRow row;
    if (output.is_generated) {
      row.params = params;
      row.uniform = uniform_draw(sequence.request.seed, sequence.num_generated);
      row.bias = sequence.request.bias;
      row.history = sequence.history ? sequence.history->counts() : std::span<const TokenCount>();
    } else {
      row.params.num_logprobs = params.num_logprobs;
      row.forced = sequence.token_at(output.position + 1);
    }
    rows.push_back(row);
  }

  std::vector<SampledToken> tokens(rows.size());
  backend_->sample({.out = tokens.data(),
                    .logits = workspace_->logits->as<float>(),
                    .rows = rows.data(),
                    .num_rows = batch.num_sampled,
                    .vocab_size = inspection_.config.vocab_size});
  for (std::size_t row = 0; row < tokens.size(); ++row) {
    SequenceOutput& output = outputs[std::size_t(sampled[row].part)];
    if (!output.not_finite_at && std::isnan(tokens[row].logprob)) output.not_finite_at = sampled[row].position;
    if (sampled[row].is_generated)
      output.token = std::move(tokens[row]);
    else
      output.prompt.push_back(std::move(tokens[row]));
  }
}

void DeviceEngine::read_kept_logits(const StepBatch& batch, std::span<const StepPart> parts,
                                    std::vector<SequenceOutput>& outputs) {
  const auto vocab_size = std::size_t(inspection_.config.vocab_size);
  for (std::size_t row = 0; row < batch.outputs.size(); ++row) {
    if (!batch.outputs[row].is_kept) continue;
    const auto index = std::size_t(batch.outputs[row].part);
    SequenceOutput& output = outputs[index];
    std::vector<float>& logits = output.logits;
    logits.resize(std::size_t(parts[index].num_tokens) * vocab_size);
    const int position = batch.outputs[row].position;
    const auto place = std::size_t(position - parts[index].sequence->num_cached) * vocab_size;
    const std::span kept = std::span(logits).subspan(place, vocab_size);
    backend_->read(kept, workspace_->logits->as<float>() + row * vocab_size);
    if (!output.not_finite_at && !all_finite(kept)) output.not_finite_at = position;
  }
}

// Moves the sequences on, and lets go of those that finished or were released meanwhile.
void DeviceEngine::end_step(std::span<const StepPart> parts, std::vector<SequenceOutput>& outputs) {
  const std::lock_guard lock(mutex_);
  ++counted_.steps;
  std::vector<SequenceOutput> wanted;
  for (std::size_t index = 0; index < parts.size(); ++index) {
    Sequence& sequence = *parts[index].sequence;
    const SequenceRequest& request = sequence.request;
    SequenceOutput& output = outputs[index];
    sequence.in_step = false;
    counted_.prompt_tokens += std::uint64_t(std::min(sequence.prompt_left(), parts[index].num_tokens));
    counted_.generated_tokens += output.token ? 1 : 0;
    sequence.num_cached += parts[index].num_tokens;
    output.sequence = parts[index].id;
    output.prompt_tokens_done = std::min(sequence.num_cached, sequence.prompt_size());
    if (output.token) {
      const std::int32_t token = output.token->token;
      sequence.add_generated(token);
      const auto& stops = request.stop_tokens;
      if (std::find(stops.begin(), stops.end(), token) != stops.end()) output.finish = Finish::stop;
    }
    if (output.finish == Finish::no && sequence.prompt_left() == 0 && sequence.num_generated == request.max_tokens)
      output.finish = Finish::length;

    const bool was_released = sequence.released;
    if (was_released || output.not_finite_at || output.finish != Finish::no) sequences_.erase(parts[index].id);
    if (!was_released) wanted.push_back(std::move(output));
  }
  outputs = std::move(wanted);
}

void DeviceEngine::drop(std::span<const StepPart> parts) {
  const std::lock_guard lock(mutex_);
  for (const StepPart& part : parts) sequences_.erase(part.id);
}

bool DeviceEngine::should_stop(std::span<const StepPart> parts) {
  if (stopped_) return true;
  const std::lock_guard lock(mutex_);
  return std::all_of(parts.begin(), parts.end(), [](const StepPart& part) { return part.sequence->released; });
}

void DeviceEngine::throw_if_stopped() const {
  if (stopped_) throw Error(ErrorCode::cancelled, "the engine was stopped");
}

}  // namespace grok::runtime
