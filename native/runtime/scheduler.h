#pragma once

#include <span>
#include <vector>

namespace grok::runtime {

// A sequence as the scheduler sees it.
struct Candidate {
  bool holds_cache = false;
  int pages_needed = 0;       // for all it may become, while it holds none
  int prompt_left = 0;        // prompt tokens not yet run; 0: it decodes
  bool every_output = false;  // wants logits after each of its prompt tokens
};

// What one step can take.
struct StepRoom {
  int prompt_tokens = 0;
  int outputs = 0;  // rows of logits; at least as many as sequences may hold cache
  int free_pages = 0;
  int free_slots = 0;  // sequences that may yet be given cache
};

// Tokens that each of `candidates`, oldest first, gets in the next step. A candidate without cache that gets some is
// thereby admitted. Those that decode go first, one token each: a long prompt must not hold up a stream. What is left goes
// to prompts, first come, first served; a candidate that does not fit is not overtaken by a younger one, so it cannot
// starve.
std::vector<int> schedule(std::span<const Candidate> candidates, StepRoom room);

}  // namespace grok::runtime
