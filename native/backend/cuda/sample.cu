#include <algorithm>
#include <cmath>
#include <map>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/reduce.h"
#include "core/error.h"

namespace grok {
namespace {

using Wide = unsigned long long;

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kDigitBits = 8, kBins = 1 << kDigitBits;
constexpr int kTokenBits = 24;
// A probability of the best token's size as an integer. Sums of integers are the same in any order, and 2^17 tokens of it
// fit 64 bits; what is rounded off is 2^-46 of the best token's probability a token.
constexpr double kWholeMass = double(Wide(1) << 45);

// What a row's bias and history say about one token.
struct Adjustment {
  std::int32_t token;
  float bias;
  std::int32_t generated;
  bool was_seen;
};

struct RowParameters {
  float temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty, uniform;
  std::int32_t top_k, forced, num_logprobs;
  std::int32_t first_adjustment, num_adjustments;
};

struct Drawn {
  std::int32_t token;
  float logprob;
};

struct Sampling {
  const float* logits;            // [num_rows, vocab_size]
  float* adjusted;                // [num_rows, vocab_size]
  const RowParameters* rows;      // [num_rows]
  const Adjustment* adjustments;  // of all rows
  Drawn* drawn;                   // [num_rows]
  Drawn* top;                     // [num_rows, max_logprobs]
  int vocab_size, max_logprobs;
};

// Larger for larger logits, equal for equal ones; 0 for a NaN, which no logit is below.
__device__ inline unsigned key_of(float logit) {
  if (logit != logit) return 0;
  const unsigned bits = __float_as_uint(logit + 0.0f);  // -0 becomes 0
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
constexpr unsigned kInfinitelyUnlikely = 0x007fffffu;  // the key of minus infinity

// Orders by logit, then the lower id first.
__device__ inline Wide rank_of(float logit, int token) {
  return Wide(key_of(logit)) << 32 | (0xffffffffu - unsigned(token));
}
__device__ inline int token_of(Wide rank) { return int(0xffffffffu - unsigned(rank)); }

// The token of the highest rank below `below`; rank 0 if there is none.
__device__ inline Wide best_below(const float* logits, int vocab_size, Wide below) {
  Wide best = 0;
  for (int token = int(threadIdx.x); token < vocab_size; token += kThreads) {
    const Wide rank = rank_of(logits[token], token);
    if (rank < below && rank > best) best = rank;
  }
  return block_max(best);
}

// The tokens that are left to the draw.
struct Kept {
  const float* logits;  // adjusted
  int vocab_size;
  float highest;
  double per_temperature;  // 1 / temperature
  Wide lowest_place;       // by top_k
  unsigned lowest_key;     // by top_p
  float min_p;

  // Integer share of the best token's kWholeMass.
  __device__ Wide mass_of(float logit) const {
    return Wide(double(expf(float((double(logit) - highest) * per_temperature))) * kWholeMass + 0.5);
  }
  // 255 for the best tokens, 1 less for each eighth of a temperature below them. It comes before the key in what is sorted
  // by: the keys of most tokens begin alike, and threads that add to the same bin wait for each other.
  __device__ Wide step_of(float logit) const {
    return 255 - Wide(fminf((highest - logit) * fminf(float(8 * per_temperature), 1e30f), 255.0f));
  }
  __device__ Wide stepped_key_of(float logit) const { return step_of(logit) << 32 | key_of(logit); }
  // Of no two tokens alike: of equal logits the lower id is larger.
  __device__ Wide place_of(int token) const {
    return stepped_key_of(logits[token]) << kTokenBits | Wide((1 << kTokenBits) - 1 - token);
  }
  __device__ bool has(int token) const {
    const float logit = logits[token];
    const unsigned key = key_of(logit);
    return key > kInfinitelyUnlikely && key >= lowest_key && (lowest_place == 0 || place_of(token) >= lowest_place) &&
           (min_p <= 0 || expf(float((double(logit) - highest) * per_temperature)) >= min_p);
  }
};

struct Shared {
  Wide bins[kBins];
  Wide above;
  int chosen;
  Wide of_warp[kWarps];
  int token;
};

// Adds weight(token) to the bin of each token whose digits above `shift` are those of `prefix`. digits(token) is what
// tokens are sorted by, or 0 to leave it out.
template <typename Digits, typename Weight>
__device__ void fill_bins(Shared& shared, int vocab_size, int shift, Wide prefix, Digits digits, Weight weight) {
  for (int bin = int(threadIdx.x); bin < kBins; bin += kThreads) shared.bins[bin] = 0;
  __syncthreads();
  for (int token = int(threadIdx.x); token < vocab_size; token += kThreads) {
    const Wide value = digits(token);
    if (value == 0 || (shift + kDigitBits < 64 && value >> (shift + kDigitBits) != prefix)) continue;
    atomicAdd(&shared.bins[(value >> shift) % kBins], Wide(weight(token)));
  }
  __syncthreads();
}

// The place of the k-th best of the kept tokens, or 0 if there are fewer.
__device__ inline Wide place_at(Shared& shared, const Kept& kept, int k) {
  const auto digits = [&](int token) { return kept.has(token) ? kept.place_of(token) : Wide(0); };
  Wide prefix = 0, left = Wide(k);
  for (int shift = 64 - kDigitBits; shift >= 0; shift -= kDigitBits) {
    fill_bins(shared, kept.vocab_size, shift, prefix, digits, [](int) { return 1; });
    if (threadIdx.x == 0) {
      Wide above = 0;
      int bin = kBins - 1;
      while (bin > 0 && above + shared.bins[bin] < left) above += shared.bins[bin--];
      shared.chosen = above + shared.bins[bin] < left ? -1 : bin;  // fewer than k in all
      shared.above = above;
    }
    __syncthreads();
    if (shared.chosen < 0) return 0;
    left -= shared.above;
    prefix = prefix << kDigitBits | Wide(shared.chosen);
    __syncthreads();  // thread 0 writes there next
  }
  return prefix;
}

// The smallest key of a kept token such that the mass of the keys above it is at most top_p of the whole.
// Source: runners.py:top_p_filter, seen from the top; ties stay. Tokens whose mass rounds to 0 may fall out: no draw takes them.
__device__ inline unsigned key_at(Shared& shared, const Kept& kept, double top_p) {
  const auto digits = [&](int token) { return kept.has(token) ? kept.stepped_key_of(kept.logits[token]) : Wide(0); };
  const auto mass = [&](int token) { return kept.mass_of(kept.logits[token]); };
  Wide prefix = 0, above = 0;
  double limit = 0;
  for (int shift = 32; shift >= 0; shift -= kDigitBits) {
    fill_bins(shared, kept.vocab_size, shift, prefix, digits, mass);
    if (threadIdx.x == 0) {
      if (shift == 32) {
        Wide whole = 0;
        for (int bin = 0; bin < kBins; ++bin) whole += shared.bins[bin];
        limit = top_p * double(whole);
      }
      Wide sum = above;
      int lowest = -1;
      Wide above_lowest = above;
      for (int bin = kBins - 1; bin >= 0; --bin) {
        if (shared.bins[bin] == 0) continue;
        if (double(sum) > limit) break;
        lowest = bin;
        above_lowest = sum;
        sum += shared.bins[bin];
      }
      shared.chosen = lowest;
      shared.above = above_lowest;
    }
    __syncthreads();
    above = shared.above;
    prefix = prefix << kDigitBits | Wide(shared.chosen);
    __syncthreads();
  }
  return unsigned(prefix);
}

// The token at `uniform` of the kept tokens' mass, by ascending id; -1 if none is left.
__device__ inline int draw(Shared& shared, const Kept& kept, float uniform) {
  const int warp = int(threadIdx.x) / kWarpSize, lane = int(threadIdx.x) % kWarpSize;
  const auto mass_of = [&](int token) {
    return token < kept.vocab_size && kept.has(token) ? kept.mass_of(kept.logits[token]) : Wide(0);
  };
  const int tokens_of_warp = (kept.vocab_size + kThreads - 1) / kThreads * kWarpSize;
  const int first = warp * tokens_of_warp;
  Wide own = 0;
  for (int i = 0; i < tokens_of_warp; i += kWarpSize) own += mass_of(first + i + lane);
  own = warp_reduce(own, [](Wide a, Wide b) { return a + b; });
  if (lane == 0) shared.of_warp[warp] = own;
  if (threadIdx.x == 0) shared.token = -1;
  __syncthreads();

  Wide whole = 0, before = 0;
  for (int other = 0; other < kWarps; ++other) {
    whole += shared.of_warp[other];
    if (other < warp) before += shared.of_warp[other];
  }
  const Wide target = Wide(double(uniform) * double(whole));
  if (whole > 0 && before <= target && target < before + own) {
    Wide sum = before;  // of all tokens before the 32 at hand
    for (int i = 0; i < tokens_of_warp; i += kWarpSize) {
      const Wide mass = mass_of(first + i + lane);
      Wide up_to = mass;  // of the lanes up to this one
      for (int distance = 1; distance < kWarpSize; distance *= 2) {
        const Wide lower = __shfl_up_sync(kAllLanes, up_to, unsigned(distance));
        if (lane >= distance) up_to += lower;
      }
      if (mass > 0 && sum + up_to - mass <= target && target < sum + up_to) shared.token = first + i + lane;
      sum += __shfl_sync(kAllLanes, up_to, kWarpSize - 1);
    }
  }
  __syncthreads();
  return shared.token;
}

// One block a row.
__global__ void __launch_bounds__(kThreads) sample_rows(Sampling op) {
  take_turn();
  const std::size_t row = blockIdx.x;
  const RowParameters parameters = op.rows[row];
  const float* logits = op.logits + row * op.vocab_size;
  float* adjusted = op.adjusted + row * op.vocab_size;
  Shared& shared = static_shared<Shared>();

  const float highest = logits[token_of(best_below(logits, op.vocab_size, ~Wide(0)))];
  double total = 0;
  for (int token = int(threadIdx.x); token < op.vocab_size; token += kThreads)
    total += double(expf(logits[token] - highest));
  const double log_total = double(highest) + log(block_sum(total));

  Wide rank = ~Wide(0);
  for (int place = 0; place < parameters.num_logprobs; ++place) {
    rank = best_below(logits, op.vocab_size, rank);
    const int token = token_of(rank);
    if (threadIdx.x == 0) op.top[row * op.max_logprobs + place] = {token, float(double(logits[token]) - log_total)};
  }

  int token = parameters.forced;
  if (token < 0) {
    for (int i = int(threadIdx.x); i < op.vocab_size; i += kThreads) adjusted[i] = logits[i];
    __syncthreads();
    for (int i = int(threadIdx.x); i < parameters.num_adjustments; i += kThreads) {
      const Adjustment& adjustment = op.adjustments[parameters.first_adjustment + i];
      float logit = adjusted[adjustment.token] + adjustment.bias;
      if (adjustment.was_seen)
        logit = logit > 0 ? logit / parameters.repetition_penalty : logit * parameters.repetition_penalty;
      if (adjustment.generated > 0)
        logit -= parameters.presence_penalty + float(adjustment.generated) * parameters.frequency_penalty;
      adjusted[adjustment.token] = logit;
    }
    __syncthreads();

    token = token_of(best_below(adjusted, op.vocab_size, ~Wide(0)));
    if (parameters.temperature > 0) {
      Kept kept{adjusted, op.vocab_size, adjusted[token], 1.0 / parameters.temperature, 0, 0, 0};
      if (parameters.top_k > 0) kept.lowest_place = place_at(shared, kept, parameters.top_k);
      if (parameters.top_p < 1) kept.lowest_key = key_at(shared, kept, parameters.top_p);
      kept.min_p = parameters.min_p;
      const int drawn = draw(shared, kept, parameters.uniform);
      if (drawn >= 0) token = drawn;
    }
  }
  if (threadIdx.x == 0) op.drawn[row] = {token, float(double(logits[token]) - log_total)};
}

// A token that a row names twice becomes one adjustment.
std::vector<Adjustment> adjustments_of(const SampleRow& row) {
  std::map<std::int32_t, Adjustment> by_token;
  const auto of = [&](std::int32_t token) -> Adjustment& {
    return by_token.try_emplace(token, Adjustment{token, 0, 0, false}).first->second;
  };
  for (const TokenBias& bias : row.bias) of(bias.token).bias += bias.bias;
  for (const TokenCount& seen : row.history) {
    Adjustment& adjustment = of(seen.token);
    adjustment.was_seen = true;
    adjustment.generated += seen.generated;
  }
  std::vector<Adjustment> adjustments;
  for (const auto& entry : by_token) adjustments.push_back(entry.second);
  return adjustments;
}

struct Memory {
  RowParameters* rows;
  Adjustment* adjustments;
  Drawn* results;   // the drawn, then the top of each row
  float* adjusted;  // [num_rows, vocab_size]
};

Memory memory_of(std::size_t num_rows, std::size_t num_adjustments, std::size_t num_results, int vocab_size,
                 DeviceScratch& scratch) {
  return {.rows = scratch.of<RowParameters>(num_rows),
          .adjustments = scratch.of<Adjustment>(num_adjustments),
          .results = scratch.of<Drawn>(num_results),
          .adjusted = scratch.of<float>(num_rows * vocab_size)};
}

}  // namespace

// Every token of a row may have an adjustment, and be asked for by its log-probability.
void count_sample(const StepSize& largest, DeviceScratch& scratch) {
  const std::size_t num_rows = std::size_t(std::min(largest.num_outputs, kTokensAtOnce));
  memory_of(num_rows, num_rows * largest.vocab_size, num_rows * (1 + std::size_t(largest.vocab_size)),
            largest.vocab_size, scratch);
}

// Limited by memory: reads a row of logits some ten times from L2.
void CudaBackend::sample(const Sample& op) {
  if (op.vocab_size > 1 << kTokenBits)
    throw Error(ErrorCode::unsupported, concat("the CUDA backend samples from up to ", 1 << kTokenBits,
                                               " tokens, the model has ", op.vocab_size));
  for (int first = 0; first < op.num_rows; first += kTokensAtOnce) {
    Sample part = op;
    part.num_rows = std::min(kTokensAtOnce, op.num_rows - first);
    part.out += first;
    part.rows += first;
    part.logits += std::size_t(first) * op.vocab_size;
    sample_at_once(part);
  }
}

void CudaBackend::sample_at_once(const Sample& op) {
  std::vector<RowParameters> rows;
  std::vector<Adjustment> adjustments;
  int max_logprobs = 0;
  for (int r = 0; r < op.num_rows; ++r) {
    const SampleRow& row = op.rows[r];
    const std::vector<Adjustment> own = adjustments_of(row);
    const int num_logprobs = std::min(row.num_logprobs, op.vocab_size);
    max_logprobs = std::max(max_logprobs, num_logprobs);
    rows.push_back({.temperature = row.temperature,
                    .top_p = row.top_p,
                    .min_p = row.min_p,
                    .repetition_penalty = row.repetition_penalty,
                    .presence_penalty = row.presence_penalty,
                    .frequency_penalty = row.frequency_penalty,
                    .uniform = row.uniform,
                    .top_k = row.top_k,
                    .forced = row.forced,
                    .num_logprobs = num_logprobs,
                    .first_adjustment = std::int32_t(adjustments.size()),
                    .num_adjustments = std::int32_t(own.size())});
    adjustments.insert(adjustments.end(), own.begin(), own.end());
  }

  scratch_.clear();
  const std::size_t row_bytes = rows.size() * sizeof(RowParameters);
  const std::size_t adjustment_bytes = adjustments.size() * sizeof(Adjustment);
  const std::size_t num_results = rows.size() * std::size_t(1 + max_logprobs);
  const Memory memory = memory_of(rows.size(), adjustments.size(), num_results, op.vocab_size, scratch_);
  const Sampling sampling{.logits = op.logits,
                          .adjusted = memory.adjusted,
                          .rows = memory.rows,
                          .adjustments = memory.adjustments,
                          .drawn = memory.results,
                          .top = memory.results + rows.size(),
                          .vocab_size = op.vocab_size,
                          .max_logprobs = max_logprobs};

  std::byte* const pinned = pinned_.of(row_bytes + adjustment_bytes + num_results * sizeof(Drawn));
  std::copy_n(reinterpret_cast<const std::byte*>(rows.data()), row_bytes, pinned);
  std::copy_n(reinterpret_cast<const std::byte*>(adjustments.data()), adjustment_bytes, pinned + row_bytes);
  stream_.copy_to_device(memory.rows, pinned, row_bytes);
  stream_.copy_to_device(memory.adjustments, pinned + row_bytes, adjustment_bytes);
  stream_.launch("sample", {.blocks = unsigned(op.num_rows), .threads = kThreads}, sample_rows, sampling);
  auto* const results = reinterpret_cast<Drawn*>(pinned + row_bytes + adjustment_bytes);
  stream_.copy_to_host(results, memory.results, num_results * sizeof(Drawn));
  stream_.synchronize();

  for (int r = 0; r < op.num_rows; ++r) {
    SampledToken& out = op.out[r];
    out = {.token = results[r].token, .logprob = results[r].logprob};
    const Drawn* top = results + op.num_rows + std::size_t(r) * max_logprobs;
    for (int place = 0; place < rows[r].num_logprobs; ++place)
      out.top.push_back({top[place].token, top[place].logprob});
  }
}

}  // namespace grok
