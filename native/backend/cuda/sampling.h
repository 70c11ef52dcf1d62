#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "backend/cuda/reduce.h"

// What the kernels that sample share: the order of tokens, what a row asks for, and what one kernel leaves for the next.
namespace grok {

using Wide = unsigned long long;

// A row is cut into spans, a block each. A thread's tokens lie side by side with its neighbours', all asked for at once.
inline constexpr int kSpanThreads = 256, kTokensOfThread = 16;
inline constexpr int kSpanTokens = kSpanThreads * kTokensOfThread;
inline constexpr int kRowThreads = 1024;  // of a block that has a row to itself
inline constexpr int kBins = 1024;

// A probability of the best token's size as an integer. Sums of integers are the same in any order, and 2^18 tokens of it
// fit 64 bits; what is rounded off is 2^-46 of the best token's probability a token.
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
  std::int32_t* candidates;       // [num_rows, vocab_size]
  Drawn* drawn;                   // [num_rows]
  Drawn* top;                     // [num_rows, max_logprobs]
  int vocab_size, num_spans, max_logprobs;

  __device__ const float* adjusted_of(std::size_t row) const {
    return (rows[row].num_adjustments > 0 ? adjusted : logits) + row * vocab_size;
  }
  __device__ SpanSummary* spans_of(std::size_t row) const { return spans + row * num_spans; }
  __device__ Cut& cut_of(std::size_t row, Filter filter) const { return cuts[2 * row + std::size_t(filter)]; }
  __device__ std::int32_t* candidates_of(std::size_t row) const { return candidates + row * vocab_size; }
};

// The tokens that are left to the draw.
struct Kept {
  float highest;
  double per_temperature;  // 1 / temperature
  Wide lowest;             // rank
  float min_p;             // 0 until top_p is through

  __device__ bool has(float logit, int token) const { return rank_of(logit, token) >= lowest; }
  // Integer share of the best token's kWholeMass.
  __device__ Wide mass_of(float logit) const {
    const float share = expf(float((double(logit) - highest) * per_temperature));
    return share >= min_p ? Wide(double(share) * kWholeMass + 0.5) : 0;
  }
  __device__ Wide weight_of(float logit, Filter filter) const { return filter == Filter::top_k ? 1 : mass_of(logit); }
  // 0 for the best tokens, 1 more for each 1/32 of a temperature below them.
  __device__ int bin_of(float logit) const {
    return int(fminf((highest - logit) * fminf(float(32 * per_temperature), 1e30f), float(kBins - 1)));
  }
};

// By what is known of row so far. Every thread of the block calls it.
__device__ inline Kept kept_of(const Sampling& op, std::size_t row) {
  const Wide best = int(threadIdx.x) < op.num_spans ? op.spans_of(row)[threadIdx.x].best_adjusted : 0;
  return {.highest = logit_of(block_max(best)),
          .per_temperature = 1.0 / op.rows[row].temperature,
          .lowest = op.cut_of(row, Filter::top_k).lowest,
          .min_p = 0};
}

// Every lane of the warp calls it; bin -1: nothing to add. Threads that add to one bin wait for each other, so a warp whose
// tokens are all alike adds their sum.
__device__ inline void add_to_bin(Wide* bins, int bin, Wide weight) {
  if (__ballot_sync(kAllLanes, bin == __shfl_sync(kAllLanes, bin, 0)) != kAllLanes) {
    if (bin >= 0) atomicAdd(&bins[bin], weight);
    return;
  }
  if (bin < 0) return;
  weight = warp_reduce(weight, [](Wide a, Wide b) { return a + b; });
  if (int(threadIdx.x) % kWarpSize == 0) atomicAdd(&bins[bin], weight);
}

struct Boundary {
  int bin;     // -1: all are empty
  Wide above;  // what the bins above it weigh
};

// The last bin that is not empty with no more than `limit` above it. Each thread has kCount bins, in order, and what lies
// above the first of them.
template <int kCount>
__device__ Boundary boundary_of(const Wide (&bins)[kCount], Wide above, double limit) {
  Boundary found{-1, 0};
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (bins[i] > 0 && double(above) <= limit) found = {int(threadIdx.x) * kCount + i, above};
    above += bins[i];
  }
  Boundary& last = static_shared<Boundary>();
  const int bin = block_max(found.bin);
  if (found.bin == bin && (bin >= 0 || threadIdx.x == 0)) last = found;
  __syncthreads();
  return last;
}

}  // namespace grok
