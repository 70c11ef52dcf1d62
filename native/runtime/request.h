#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "core/error.h"

namespace grok::runtime {

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

// The results of one step for one sequence.
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

}  // namespace grok::runtime
