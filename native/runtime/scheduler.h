#pragma once

#include <span>
#include <vector>

namespace grok::runtime {

// The scheduler's view of a sequence that holds a place in the cache.
struct Candidate {
  bool decodes = false;       // needs one token to generate the next
  int tokens_left = 0;        // tokens that are not in the cache
  int computable = 0;         // those that can be computed now; 0: another sequence computes the next of them
  bool every_output = false;  // needs logits after each of its prompt tokens
};

// Limits of one step.
struct StepRoom {
  int prompt_tokens = 0;
  int prompt_tokens_beside = 0;  // if a sequence decodes
  int outputs = 0;               // rows of logits; at least the number of sequences that may hold cache
};

// Returns the tokens of each of `candidates`, oldest first, in the next step. Decoding sequences come first, with one
// token each. The rest goes to prompts, first come, first served. Prompts get less beside a decoding sequence, so that
// no stream waits long for its next token.
std::vector<int> schedule(std::span<const Candidate> candidates, StepRoom room);

}  // namespace grok::runtime
