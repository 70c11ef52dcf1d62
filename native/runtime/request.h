#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "core/error.h"

namespace grok::runtime {

using SequenceId = std::int64_t;  // counts up from 1; JavaScript holds it as a number, and 2^53 are never reached

enum class PromptOutputs { none, logprobs, logits };

// A prompt to continue, to score, or both.
struct SequenceRequest {
  std::vector<std::int32_t> prompt;  // at least one id
  int max_tokens = 0;                // to generate; prompt + max_tokens must fit the context
  PromptOutputs prompt_outputs = PromptOutputs::none;
  SamplingParams sampling = {};
  std::vector<TokenBias> bias = {};
  std::uint64_t seed = 0;
  std::vector<std::int32_t> stop_tokens = {};  // generation ends when one is drawn; it is part of the output
};

enum class Finish { no, stop, length };

// The results of one step for one sequence.
struct SequenceOutput {
  SequenceId sequence = 0;
  int prompt_tokens_done = 0;         // prompt tokens processed so far
  std::optional<SampledToken> token;  // the generated token
  // PromptOutputs::logprobs: prompt tokens first .. , each given the tokens before it
  std::vector<SampledToken> prompt;
  std::vector<float> logits;  // PromptOutputs::logits: [rows, vocab_size], rows of this step
  Finish finish = Finish::no;
  // The first position whose logits have a NaN or infinity. It ended the sequence, and the rest of this output is
  // invalid.
  std::optional<int> not_finite_at;
};

// The error of a step, with the sequences of that step. No sequences: it failed before it changed any.
struct StepError : Error {
  StepError(Error error, std::vector<SequenceId> sequences)
      : Error(std::move(error)), sequences(std::move(sequences)) {}

  std::vector<SequenceId> sequences;
};

}  // namespace grok::runtime
