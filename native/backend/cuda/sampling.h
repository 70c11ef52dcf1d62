#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "backend/cuda/reduce.h"
#include "backend/cuda/stream.h"

// What the kernels that sample share: the order of tokens, what a row asks for, what one kernel leaves for the next.
namespace grok::cuda {

using Wide = unsigned long long;

// A row is cut into spans, a block each.
inline constexpr int kSpanThreads = 256, kTokensOfThread = 16;
inline constexpr int kSpanBlocks = 4;  // on a multiprocessor: left to choose, the compiler has more of them and spills
inline constexpr int kSpanTokens = kSpanThreads * kTokensOfThread;
inline constexpr int kDrawThreads = 1024;  // of a block that has a row to itself
inline constexpr int kBins = 1024;

// A probability of the best token's size as an integer. Sums of integers are the same in any order, and 2^18 tokens of
// it fit 64 bits; what is rounded off is 2^-46 of the best token's probability a token.
inline constexpr int kTokenBits = 18;
inline constexpr double kWholeMass = double(Wide(1) << 45);
inline constexpr int kMostSpans = (1 << kTokenBits) / kSpanTokens;

// Larger for larger logits, equal for equal ones; 0 for a NaN, which no logit is below.
__device__ inline unsigned key_of(float logit) {
  if (logit != logit) return 0;
  const unsigned bits = __float_as_uint(logit + 0.0f);  // -0 becomes 0
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
inline constexpr unsigned kInfinitelyUnlikely = 0x007fffffu;  // the key of minus infinity

// Orders by logit, then the lower id first.
__device__ inline Wide rank_of(float logit, int token) {
  return Wide(key_of(logit)) << kTokenBits | unsigned((1 << kTokenBits) - 1 - token);
}
inline constexpr Wide kLowestRank = Wide(kInfinitelyUnlikely + 1) << kTokenBits;  // of a token that may be drawn
__device__ inline int token_of(Wide rank) { return (1 << kTokenBits) - 1 - int(unsigned(rank) % (1u << kTokenBits)); }
__device__ inline float logit_of(Wide rank) {
  const auto key = unsigned(rank >> kTokenBits);
  return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

// What a row's bias and history say about one token.
struct Adjustment {
  std::int32_t token;
  float bias;
  std::int32_t generated;
  bool was_seen;
};

enum class Filter { top_k, top_p };

struct RowParameters {
  float temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty, uniform;
  std::int32_t top_k, forced, num_logprobs;
  std::int32_t first_adjustment, num_adjustments;

  __host__ __device__ bool draws() const { return forced < 0 && temperature > 0; }
  __host__ __device__ bool asks_for(Filter filter) const {
    return draws() && (filter == Filter::top_k ? top_k > 0 : top_p < 1);
  }
};

// What is known of a span.
struct SpanSummary {
  Wide best;           // rank
  double total;        // of exp(logit - the best one)
  Wide best_adjusted;  // rank
  Wide mass;           // of the tokens that are surely left to the draw
};

// Where a filter cuts a row: in the boundary bin, whose tokens are its candidates.
struct Cut {
  Wide bins[kBins];  // what their tokens weigh
  double limit;      // a token stays while those above it weigh no more
  Wide above;        // what the bins above the boundary weigh
  Wide lowest;       // rank that stays, once it is known
  int num_candidates;
};

struct Drawn {
  std::int32_t token;
  float logprob;
};

struct Sampling {
  const float* logits;            // [num_rows, vocab_size]
  const RowParameters* rows;      // [num_rows]
  const Adjustment* adjustments;  // of all rows, each row's by ascending token
  float* adjusted;                // [num_rows, vocab_size]; only rows with adjustments are written
  SpanSummary* spans;             // [num_rows, num_spans]
  Cut* cuts;                      // [num_rows, 2]
  Wide* candidates;               // [num_rows, vocab_size], ranks
  Drawn* drawn;                   // [num_rows]
  Drawn* top;                     // [num_rows, max_logprobs]
  int vocab_size, num_spans, max_logprobs;

  __device__ const float* adjusted_of(std::size_t row) const {
    return (rows[row].num_adjustments > 0 ? adjusted : logits) + row * vocab_size;
  }
  __device__ SpanSummary* spans_of(std::size_t row) const { return spans + row * num_spans; }
  __device__ Cut& cut_of(std::size_t row, Filter filter) const { return cuts[2 * row + std::size_t(filter)]; }
  __device__ Wide* candidates_of(std::size_t row) const { return candidates + row * vocab_size; }
};

// The first of the thread's tokens; the others follow kSpanThreads apart.
__device__ inline int first_token() { return int(blockIdx.x) * kSpanTokens + int(threadIdx.x); }

// All loads are on their way before the first is used. Minus infinity where the row has ended.
__device__ inline void load_tokens(float (&logits)[kTokensOfThread], const float* row, int first, int vocab_size) {
#pragma unroll
  for (int i = 0; i < kTokensOfThread; ++i) {
    const int token = first + i * kSpanThreads;
    logits[i] = token < vocab_size ? row[token] : -INFINITY;
  }
}

// The logarithm of the sum over the row, from its spans. Every thread of the block calls it.
__device__ inline double log_total_of(const Sampling& op, std::size_t row) {
  const bool is_span = int(threadIdx.x) < op.num_spans;
  const SpanSummary span = is_span ? op.spans_of(row)[threadIdx.x] : SpanSummary{0, 0, 0, 0};
  const float highest = logit_of(block_max(span.best));
  return double(highest) + log(block_sum(is_span ? span.total * exp(double(logit_of(span.best)) - highest) : 0.0));
}

// What some row of several asks for. Nothing else is launched.
struct Asked {
  bool top_k = false, top_p = false, draw = false;
};

// The tokens of the rows, from what is known of their spans.
void choose_tokens(const Sampling& op, int num_rows, const Asked& asked, Stream& stream);

}  // namespace grok::cuda
