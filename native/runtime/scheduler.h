#pragma once

#include <span>
#include <vector>

namespace grok::runtime {

// The scheduler's view of a sequence.
struct Candidate {
  bool holds_cache = false;
  int pages_needed = 0;       // for its full length, while it holds none
  int prompt_left = 0;        // prompt tokens not yet processed; 0: it decodes
  bool every_output = false;  // needs logits after each of its prompt tokens
};

// Limits of one step.
struct StepRoom {
  int prompt_tokens = 0;
  int outputs = 0;  // rows of logits; at least the number of sequences that may hold cache
  int free_pages = 0;
  int free_slots = 0;  // sequences that may still be admitted
};

// Returns the tokens of each of `candidates`, oldest first, in the next step. A candidate without cache that gets
// tokens is thereby admitted. Decoding sequences come first, with one token each, so that a long prompt does not delay
// a stream. The rest goes to prompts, first come, first served. No younger candidate overtakes one that does not fit,
// so that it cannot starve.
std::vector<int> schedule(std::span<const Candidate> candidates, StepRoom room);

}  // namespace grok::runtime
