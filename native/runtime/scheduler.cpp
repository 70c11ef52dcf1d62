#include "runtime/scheduler.h"

#include <algorithm>

namespace grok::runtime {

std::vector<int> schedule(std::span<const Candidate> candidates, StepRoom room) {
  std::vector<int> num_tokens(candidates.size(), 0);
  for (std::size_t index = 0; index < candidates.size(); ++index) {
    if (candidates[index].prompt_left > 0) continue;
    num_tokens[index] = 1;
    --room.outputs;
  }

  bool admitting = true;
  for (std::size_t index = 0; index < candidates.size(); ++index) {
    const Candidate& candidate = candidates[index];
    if (candidate.prompt_left == 0) continue;
    if (!candidate.holds_cache) {
      admitting = admitting && room.free_slots > 0 && candidate.pages_needed <= room.free_pages;
      if (!admitting) continue;
    }

    int chunk = std::min(candidate.prompt_left, room.prompt_tokens);
    if (candidate.every_output)
      chunk = std::min(chunk, room.outputs);
    else if (chunk == candidate.prompt_left && room.outputs == 0)
      --chunk;  // the logits of the last prompt token draw the first new token
    if (chunk == 0) {
      admitting = admitting && candidate.holds_cache;
      continue;
    }

    num_tokens[index] = chunk;
    room.prompt_tokens -= chunk;
    room.outputs -= candidate.every_output ? chunk : int(chunk == candidate.prompt_left);
    if (!candidate.holds_cache) {
      room.free_pages -= candidate.pages_needed;
      --room.free_slots;
    }
  }
  return num_tokens;
}

}  // namespace grok::runtime
