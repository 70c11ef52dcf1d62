#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "backend/backend.h"
#include "backend/cuda/reduce.h"
#include "backend/cuda/stream.h"

// Shared definitions of the sampling kernels: the order of tokens, the parameters of a row, intermediate results.
namespace grok::cuda {

using u64 = unsigned long long;

// A row is divided into spans, one block each.
inline constexpr int kSpanThreads = 256, kTokensOfThread = 16;
inline constexpr int kSpanBlocks = 4;  // per multiprocessor: the compiler's own choice is higher and spills registers
inline constexpr int kSpanTokens = kSpanThreads * kTokensOfThread;
inline constexpr int kDrawThreads = 1024;  // of a block that processes a whole row
inline constexpr int kBins = 1024;

// Fixed-point unit of probabilities. Sums of integers are the same in any order, and 2^18 tokens as likely as the best
// one fit 64 bits. The rounding error per token is 2^-46 of the best token's probability.
inline constexpr int kTokenBits = 18;
inline constexpr double kWholeMass = double(u64(1) << 45);
inline constexpr int kMostSpans = (1 << kTokenBits) / kSpanTokens;

// Larger for larger logits, equal for equal ones; 0 for a NaN, below all others.
__device__ inline unsigned key_of(float logit) {
  if (logit != logit) return 0;
  const unsigned bits = __float_as_uint(logit + 0.0f);  // turns -0 into 0
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
inline constexpr unsigned kInfinitelyUnlikely = 0x007fffffu;  // the key of minus infinity

// Sorts by logit, then by id with the lower first.
__device__ inline u64 rank_of(float logit, int token) {
  return u64(key_of(logit)) << kTokenBits | unsigned((1 << kTokenBits) - 1 - token);
}
// the lowest rank of a token that may be drawn
inline constexpr u64 kLowestRank = u64(kInfinitelyUnlikely + 1) << kTokenBits;
__device__ inline int token_of(u64 rank) { return (1 << kTokenBits) - 1 - int(unsigned(rank) % (1u << kTokenBits)); }
__device__ inline float logit_of(u64 rank) {
  const auto key = unsigned(rank >> kTokenBits);
  return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

// Change of one token's logit by the row's bias and history.
struct Adjustment {
  std::int32_t token;
  float bias;
  std::int32_t generated;
  bool was_seen;
};

enum class Filter { top_k, top_p };

struct RowParameters : SamplingParams {
  float uniform = 0;
  std::int32_t forced = -1;
  std::int32_t first_adjustment = 0, num_adjustments = 0;

  __host__ __device__ bool draws() const { return forced < 0 && temperature > 0; }
  __host__ __device__ bool uses(Filter filter) const {
    return draws() && (filter == Filter::top_k ? top_k > 0 : top_p < 1);
  }
};

// Results for a span.
struct SpanSummary {
  u64 best;           // rank
  double total;       // sum of exp(logit - best logit)
  u64 best_adjusted;  // rank
  u64 mass;           // total mass of the tokens that surely remain for the draw
};

// Result of a filter for a row. The tokens of the boundary bin are its candidates.
struct Cut {
  u64 bins[kBins];  // total mass of their tokens
  double limit;     // a token is kept while the mass above it is at most this
  u64 above;        // total mass of the bins above the boundary
  u64 lowest;       // lowest rank that is kept, once it is known
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
  u64* candidates;                // [num_rows, vocab_size], ranks
  Drawn* drawn;                   // [num_rows]
  Drawn* top;                     // [num_rows, max_logprobs]
  int vocab_size, num_spans, max_logprobs;

  __device__ const float* adjusted_of(std::size_t row) const {
    return (rows[row].num_adjustments > 0 ? adjusted : logits) + row * vocab_size;
  }
  __device__ SpanSummary* spans_of(std::size_t row) const { return spans + row * num_spans; }
  __device__ Cut& cut_of(std::size_t row, Filter filter) const { return cuts[2 * row + std::size_t(filter)]; }
  __device__ u64* candidates_of(std::size_t row) const { return candidates + row * vocab_size; }
};

// The first of the thread's tokens; the others follow at a distance of kSpanThreads.
__device__ inline int first_token() { return int(blockIdx.x) * kSpanTokens + int(threadIdx.x); }

// Issues all loads before the first is used. Minus infinity past the end of the row.
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

// Filters needed by at least one row. Kernels for other filters are not launched.
struct UsedFilters {
  bool top_k = false, top_p = false, draw = false;
};

// Chooses the tokens of the rows, from the results of their spans.
void choose_tokens(const Sampling& op, int num_rows, const UsedFilters& used, Stream& stream);

}  // namespace grok::cuda
