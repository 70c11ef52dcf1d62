#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/isa/kernels.h"

namespace grok::cpu {

struct Candidate {
  std::int32_t token;
  double probability;  // relative to the best token's
};

// The logits with the row's bias and penalties applied.
std::vector<float> adjusted_logits(std::span<const float> logits, const SampleRow& row);

// The tokens that remain after temperature (> 0), top_k, top_p and min_p, by ascending id.
std::vector<Candidate> sampling_candidates(std::span<const float> adjusted, const SamplingParams& params,
                                           const Kernels& kernels);

}  // namespace grok::cpu
