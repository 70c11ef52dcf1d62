#include "runtime/scheduler.h"

#include <algorithm>

namespace grok::runtime {

std::vector<int> schedule(std::span<const Candidate> candidates, StepRoom room) {
  std::vector<int> num_tokens(candidates.size(), 0);
  for (std::size_t index = 0; index < candidates.size(); ++index) {
    if (!candidates[index].decodes) continue;
    num_tokens[index] = 1;
    --room.outputs;
    room.prompt_tokens = std::min(room.prompt_tokens, room.prompt_tokens_beside);
  }

  for (std::size_t index = 0; index < candidates.size(); ++index) {
    const Candidate& candidate = candidates[index];
    if (candidate.decodes) continue;
    int chunk = std::min(candidate.computable, room.prompt_tokens);
    if (candidate.every_output)
      chunk = std::min(chunk, room.outputs);
    else if (chunk == candidate.tokens_left && room.outputs == 0)
      --chunk;  // the logits of the last token draw the next
    num_tokens[index] = chunk;
    room.prompt_tokens -= chunk;
    room.outputs -= candidate.every_output ? chunk : int(chunk == candidate.tokens_left);
  }
  return num_tokens;
}

}  // namespace grok::runtime
