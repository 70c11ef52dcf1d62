#include "runtime/step_batch.h"

#include <algorithm>

namespace grok::runtime {

StepBatch::StepBatch(std::span<const StepPart> parts) : num_parts(int(parts.size())) {
  for (const StepPart& part : parts)
    max_pages = std::max(max_pages, pages_for(part.sequence->num_cached + part.num_tokens));

  std::vector<OutputRow> kept_only;
  std::vector<std::int32_t> kept_only_rows;
  for (int index = 0; index < num_parts; ++index) {
    const Sequence& sequence = *parts[std::size_t(index)].sequence;
    const SequenceRequest& request = sequence.request;

    const std::span<const std::int32_t> pages = sequence.pages.pages();
    const std::size_t num_pages = std::min(pages.size(), std::size_t(max_pages));
    page_tables.insert(page_tables.end(), pages.begin(), pages.begin() + std::ptrdiff_t(num_pages));
    page_tables.resize(std::size_t(index + 1) * std::size_t(max_pages), 0);

    const int end = sequence.num_cached + parts[std::size_t(index)].num_tokens;
    for (int position = sequence.num_cached; position < end; ++position) {
      const auto row = std::int32_t(tokens.size());
      tokens.push_back(sequence.tokens[std::size_t(position)]);
      positions.push_back(position);
      sequences.push_back(index);

      const bool is_last = position + 1 == int(sequence.tokens.size());
      const bool is_reported = position < sequence.num_reported;
      const bool in_prompt = position < sequence.prompt_size, predicts_prompt = position + 1 < sequence.prompt_size;
      const OutputRow output{
          .part = index,
          .position = position,
          .is_generated = is_last && request.max_tokens > 0,
          .is_scored = predicts_prompt && !is_reported && request.prompt_outputs == PromptOutputs::logprobs,
          .is_kept = in_prompt && !is_reported && request.prompt_outputs == PromptOutputs::logits};
      if (output.is_generated || output.is_scored) {
        outputs.push_back(output);
        output_rows.push_back(row);
      } else if (output.is_kept) {
        kept_only.push_back(output);
        kept_only_rows.push_back(row);
      }
    }
  }
  num_sampled = int(outputs.size());
  outputs.insert(outputs.end(), kept_only.begin(), kept_only.end());
  output_rows.insert(output_rows.end(), kept_only_rows.begin(), kept_only_rows.end());
}

Batch StepBatch::view() const {
  return {.tokens = tokens.data(),
          .positions = positions.data(),
          .sequences = sequences.data(),
          .page_tables = page_tables.data(),
          .output_rows = output_rows.data(),
          .num_tokens = int(tokens.size()),
          .num_sequences = num_parts,
          .max_pages = max_pages,
          .num_outputs = int(output_rows.size())};
}

}  // namespace grok::runtime
