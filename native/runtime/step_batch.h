#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "runtime/sequence.h"

namespace grok::runtime {

// A sequence's part of a step: its next tokens.
struct StepPart {
  SequenceId id = 0;
  Sequence* sequence = nullptr;
  int num_tokens = 0;
};

// The use of a row of logits.
struct OutputRow {
  int part = 0;
  int position = 0;           // of the token before the predicted one
  bool is_generated = false;  // draws a new token
  bool is_scored = false;     // scores the next prompt token
  bool is_kept = false;       // returned to the caller unchanged
};

// The tokens of one step in host memory, in the layout that the backend expects.
struct StepBatch {
  explicit StepBatch(std::span<const StepPart> parts);

  Batch view() const;

  std::vector<std::int32_t> tokens, positions, sequences;  // [num_tokens]
  std::vector<std::int32_t> page_tables;                   // [num_parts, max_pages]
  std::vector<std::int32_t> output_rows;                   // [num_outputs]
  std::vector<OutputRow> outputs;                          // [num_outputs]
  int num_parts = 0;
  int max_pages = 0;
  int num_sampled = 0;  // outputs that a token is drawn from or scored with: the first ones
};

}  // namespace grok::runtime
