#include <algorithm>
#include <map>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/sampling.h"
#include "core/error.h"

namespace grok {
namespace {

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

// The best rank of the thread's tokens that is below `below`, or 0.
__device__ inline Wide best_of(const float (&logits)[kTokensOfThread], int first, int vocab_size, Wide below) {
  Wide best = 0;
#pragma unroll
  for (int i = 0; i < kTokensOfThread; ++i) {
    const int token = first + i * kSpanThreads;
    const Wide rank = rank_of(logits[i], token);
    if (token < vocab_size && rank < below && rank > best) best = rank;
  }
  return best;
}

// The first of the row's adjustments of this token or a later one.
__device__ inline int first_adjustment_of(const Adjustment* adjustments, int count, int token) {
  int first = 0;
  while (count > 0) {
    const int half = count / 2;
    if (adjustments[first + half].token < token) {
      first += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return first;
}

// Writes the span's adjusted logits.
__device__ inline void adjust(float* adjusted, float (&logits)[kTokensOfThread], const RowParameters& parameters,
                              const Adjustment* adjustments, int vocab_size) {
  const int first = first_token();
#pragma unroll
  for (int i = 0; i < kTokensOfThread; ++i)
    if (first + i * kSpanThreads < vocab_size) adjusted[first + i * kSpanThreads] = logits[i];
  const int span_first = int(blockIdx.x) * kSpanTokens;
  const int begin = first_adjustment_of(adjustments, parameters.num_adjustments, span_first);
  const int end = first_adjustment_of(adjustments, parameters.num_adjustments, span_first + kSpanTokens);
  __syncthreads();
  for (int i = begin + int(threadIdx.x); i < end; i += kSpanThreads) {
    const Adjustment adjustment = adjustments[i];
    float logit = adjusted[adjustment.token] + adjustment.bias;
    if (adjustment.was_seen)
      logit = logit > 0 ? logit / parameters.repetition_penalty : logit * parameters.repetition_penalty;
    if (adjustment.generated > 0)
      logit -= parameters.presence_penalty + float(adjustment.generated) * parameters.frequency_penalty;
    adjusted[adjustment.token] = logit;
  }
  __syncthreads();
}

// One block a span: its best tokens, its share of the sum, its adjusted logits.
__global__ void __launch_bounds__(kSpanThreads) summarize_spans(Sampling op) {
  take_turn();
  const std::size_t row = blockIdx.y;
  const RowParameters parameters = op.rows[row];
  float logits[kTokensOfThread];
  load_tokens(logits, op.logits + row * op.vocab_size, first_token(), op.vocab_size);
  for (const Filter filter : {Filter::top_k, Filter::top_p}) {
    Cut& cut = op.cut_of(row, filter);
    for (int bin = int(blockIdx.x * kSpanThreads + threadIdx.x); bin < kBins; bin += int(gridDim.x) * kSpanThreads)
      cut.bins[bin] = 0;
    if (first_token() == 0) {
      cut.lowest = kLowestRank;
      cut.num_candidates = 0;
    }
  }

  SpanSummary span{};
  span.best = block_max(best_of(logits, first_token(), op.vocab_size, ~Wide(0)));
  const float highest = logit_of(span.best), zero = highest > -INFINITY ? highest : 0;
  double total = 0;
#pragma unroll
  for (int i = 0; i < kTokensOfThread; ++i) total += double(expf(logits[i] - zero));
  span.total = block_sum(total);

  span.best_adjusted = span.best;
  if (parameters.num_adjustments > 0) {
    float* const adjusted = op.adjusted + row * op.vocab_size;
    adjust(adjusted, logits, parameters, op.adjustments + parameters.first_adjustment, op.vocab_size);
    load_tokens(logits, adjusted, first_token(), op.vocab_size);
    span.best_adjusted = block_max(best_of(logits, first_token(), op.vocab_size, ~Wide(0)));
  }
  if (threadIdx.x == 0) op.spans_of(row)[blockIdx.x] = span;
}

// One block a span: what its tokens weigh, by bins.
__global__ void __launch_bounds__(kSpanThreads, 4) fill_bins(Sampling op, Filter filter) {
  take_turn();
  const std::size_t row = blockIdx.y;
  if (!op.rows[row].asks_for(filter)) return;
  float logits[kTokensOfThread];
  load_tokens(logits, op.adjusted_of(row), first_token(), op.vocab_size);
  const Kept kept = kept_of(op, row);
  struct Shared {
    Wide bins[kBins];
  };
  Shared& shared = static_shared<Shared>();
#pragma unroll
  for (int bin = int(threadIdx.x); bin < kBins; bin += kSpanThreads) shared.bins[bin] = 0;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kTokensOfThread; ++i) {
    const bool has = kept.has(logits[i], first_token() + i * kSpanThreads);
    add_to_bin(shared.bins, has ? kept.bin_of(logits[i]) : -1, has ? kept.weight_of(logits[i], filter) : 0);
  }
  __syncthreads();
#pragma unroll
  for (int bin = int(threadIdx.x); bin < kBins; bin += kSpanThreads)
    if (shared.bins[bin] > 0) atomicAdd(&op.cut_of(row, filter).bins[bin], shared.bins[bin]);
}

// One block a span: the tokens of the boundary bin become candidates, and what lies above it has its mass counted. Without
// the filter that is all of a row.
__global__ void __launch_bounds__(kSpanThreads) find_candidates(Sampling op, Filter filter) {
  take_turn();
  const std::size_t row = blockIdx.y;
  const RowParameters parameters = op.rows[row];
  if (!parameters.asks_for(filter) && !(filter == Filter::top_p && parameters.draws())) return;
  float logits[kTokensOfThread];
  load_tokens(logits, op.adjusted_of(row), first_token(), op.vocab_size);
  Kept kept = kept_of(op, row);
  kept.min_p = parameters.min_p;
  Cut& cut = op.cut_of(row, filter);
  int boundary = kBins;
  if (parameters.asks_for(filter)) {
    constexpr int kCount = kBins / kSpanThreads;
    Wide bins[kCount], own = 0;
#pragma unroll
    for (int i = 0; i < kCount; ++i) own += bins[i] = cut.bins[int(threadIdx.x) * kCount + i];
    const Running<Wide> sum = running_sum(own);
    const double limit =
        filter == Filter::top_k ? double(parameters.top_k - 1) : double(parameters.top_p) * double(sum.total);
    const Boundary found = boundary_of(bins, sum.before, limit);
    boundary = found.bin;
    if (first_token() == 0) {
      cut.limit = limit;
      cut.above = found.above;
    }
  }

  Wide mass = 0;
  unsigned are_candidates = 0;  // a bit for each of the thread's tokens
#pragma unroll
  for (int i = 0; i < kTokensOfThread; ++i) {
    if (!kept.has(logits[i], first_token() + i * kSpanThreads)) continue;
    const int bin = kept.bin_of(logits[i]);
    if (bin < boundary) mass += kept.mass_of(logits[i]);
    if (bin == boundary) are_candidates |= 1u << i;
  }
  mass = block_sum(mass);
  if (threadIdx.x == 0) op.spans_of(row)[blockIdx.x].mass = mass;

  struct Shared {
    int first;  // place of the block's candidates
  };
  Shared& shared = static_shared<Shared>();
  const Running<int> sum = running_sum(__popc(are_candidates));
  if (threadIdx.x == 0) shared.first = sum.total > 0 ? atomicAdd(&cut.num_candidates, sum.total) : 0;
  __syncthreads();
  std::int32_t* to = op.candidates_of(row) + shared.first + sum.before;
  for (; are_candidates; are_candidates &= are_candidates - 1)
    *to++ = first_token() + (__ffs(int(are_candidates)) - 1) * kSpanThreads;
}

// The rank that the filter cuts the row at: the lowest candidate that stays, or its key's lowest rank, since ties stay with
// top_p. Digits of the distance from the best candidate, since all begin alike. Every thread of the block calls it.
// Source of top_p: runners.py:top_p_filter, seen from the top. Tokens whose mass rounds to 0 may fall out: no draw takes them.
__device__ inline Wide lowest_of(const Sampling& op, std::size_t row, Filter filter, const Kept& kept) {
  const Cut& cut = op.cut_of(row, filter);
  const float* const adjusted = op.adjusted_of(row);
  const std::int32_t* const candidates = op.candidates_of(row);
  const int num_candidates = cut.num_candidates;
  if (num_candidates == 0) return kept.lowest;  // the filter was not asked for, or nothing weighs anything
  const int unsorted_bits = filter == Filter::top_p ? kTokenBits : 0;
  const auto value_of = [&](int token) { return rank_of(adjusted[token], token) >> unsorted_bits; };
  Wide best = 0, worst = ~Wide(0);
  for (int i = int(threadIdx.x); i < num_candidates; i += kRowThreads) {
    const Wide value = value_of(candidates[i]);
    best = value > best ? value : best;
    worst = value < worst ? value : worst;
  }
  best = block_max(best);
  worst = ~block_max(~worst);

  struct Shared {
    Wide bins[kBins];
  };
  Shared& shared = static_shared<Shared>();
  static_assert(kBins == kRowThreads);
  constexpr int kDigitBits = 10;
  static_assert(kBins == 1 << kDigitBits);
  Wide distance = 0, above = cut.above;
  int bits = 64 - __clzll(static_cast<long long>(best - worst));  // of the distance that are not known yet
  while (bits > 0) {
    const int shift = max(bits - kDigitBits, 0);
    shared.bins[threadIdx.x] = 0;
    __syncthreads();
    for (int first = 0; first < num_candidates; first += kRowThreads) {
      const int i = first + int(threadIdx.x);
      int bin = -1;
      Wide weight = 0;
      if (i < num_candidates) {
        const int token = candidates[i];
        const Wide beyond = best - value_of(token) - distance;  // wraps around where it is nearer
        if (beyond >> bits == 0) {
          bin = int(beyond >> shift);
          weight = kept.weight_of(adjusted[token], filter);
        }
      }
      add_to_bin(shared.bins, bin, weight);
    }
    __syncthreads();
    const Wide bins[1] = {shared.bins[threadIdx.x]};
    const Boundary found = boundary_of(bins, above + running_sum(bins[0]).before, cut.limit);
    distance += Wide(found.bin) << shift;
    above = found.above;
    bits = shift;
  }
  return (best - distance) << unsorted_bits;
}

// One block a row.
__global__ void __launch_bounds__(kRowThreads) cut_top_k(Sampling op) {
  take_turn();
  const std::size_t row = blockIdx.x;
  if (!op.rows[row].asks_for(Filter::top_k)) return;
  const Wide lowest = lowest_of(op, row, Filter::top_k, kept_of(op, row));
  if (threadIdx.x == 0) op.cut_of(row, Filter::top_k).lowest = lowest;
}

// The logarithm of the sum over the row, from its spans. Every thread of the block calls it.
__device__ inline double log_total_of(const Sampling& op, std::size_t row) {
  const bool is_span = int(threadIdx.x) < op.num_spans;
  const SpanSummary span = is_span ? op.spans_of(row)[threadIdx.x] : SpanSummary{0, 0, 0, 0};
  const float highest = logit_of(block_max(span.best));
  return double(highest) + log(block_sum(is_span ? span.total * exp(double(logit_of(span.best)) - highest) : 0.0));
}

// One block a row: its likeliest tokens. After each, only its span is searched for the next.
__global__ void __launch_bounds__(kSpanThreads) find_likeliest(Sampling op) {
  take_turn();
  const std::size_t row = blockIdx.x;
  const int num_logprobs = op.rows[row].num_logprobs;
  if (num_logprobs == 0) return;
  const double log_total = log_total_of(op, row);
  Wide best_of_span = int(threadIdx.x) < op.num_spans ? op.spans_of(row)[threadIdx.x].best : 0;
  for (int place = 0; place < num_logprobs; ++place) {
    const Wide best = block_max(best_of_span);
    if (threadIdx.x == 0)
      op.top[row * op.max_logprobs + place] = {token_of(best), float(double(logit_of(best)) - log_total)};
    const int span = token_of(best) / kSpanTokens, first = span * kSpanTokens + int(threadIdx.x);
    float logits[kTokensOfThread];
    load_tokens(logits, op.logits + row * op.vocab_size, first, op.vocab_size);
    const Wide next = block_max(best_of(logits, first, op.vocab_size, best));
    if (int(threadIdx.x) == span) best_of_span = next;
  }
}

// The token at the row's `uniform` of the kept tokens' mass, by ascending id; -1 if none is left. First its span, by what was
// surely kept and by the candidates, then the token. Every thread of the block calls it.
__device__ inline int draw(const Sampling& op, std::size_t row) {
  const RowParameters& parameters = op.rows[row];
  const float* const adjusted = op.adjusted_of(row);
  struct Shared {
    Wide masses[kMostSpans];
    Wide target;  // in the span
    int span, token;
  };
  Shared& shared = static_shared<Shared>();
  if (int(threadIdx.x) < op.num_spans) shared.masses[threadIdx.x] = op.spans_of(row)[threadIdx.x].mass;
  if (threadIdx.x == 0) shared.span = shared.token = -1;
  __syncthreads();

  Kept kept = kept_of(op, row);
  kept.lowest = lowest_of(op, row, Filter::top_p, kept);
  kept.min_p = parameters.min_p;
  const int num_candidates = op.cut_of(row, Filter::top_p).num_candidates;
  for (int first = 0; first < num_candidates; first += kRowThreads) {
    const int i = first + int(threadIdx.x);
    const int token = i < num_candidates ? op.candidates_of(row)[i] : -1;
    const bool has = token >= 0 && kept.has(adjusted[token], token);
    add_to_bin(shared.masses, has ? token / kSpanTokens : -1, has ? kept.mass_of(adjusted[token]) : 0);
  }
  __syncthreads();

  const Wide span_mass = int(threadIdx.x) < op.num_spans ? shared.masses[threadIdx.x] : 0;
  const Running<Wide> spans = running_sum(span_mass);
  const Wide target = Wide(double(parameters.uniform) * double(spans.total));
  if (spans.before <= target && target < spans.before + span_mass) {
    shared.span = int(threadIdx.x);
    shared.target = target - spans.before;
  }
  __syncthreads();
  if (shared.span < 0) return -1;

  constexpr int kCount = kSpanTokens / kRowThreads;
  const int first = shared.span * kSpanTokens + int(threadIdx.x) * kCount;
  Wide masses[kCount], own = 0;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const float logit = first + i < op.vocab_size ? adjusted[first + i] : -INFINITY;
    own += masses[i] = kept.has(logit, first + i) ? kept.mass_of(logit) : 0;
  }
  Wide before = running_sum(own).before;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (before <= shared.target && shared.target < before + masses[i]) shared.token = first + i;
    before += masses[i];
  }
  __syncthreads();
  return shared.token;
}

// One block a row.
__global__ void __launch_bounds__(kRowThreads) choose_tokens(Sampling op) {
  take_turn();
  const std::size_t row = blockIdx.x;
  const double log_total = log_total_of(op, row);
  int token = op.rows[row].forced;
  if (token < 0) {
    const Wide best = int(threadIdx.x) < op.num_spans ? op.spans_of(row)[threadIdx.x].best_adjusted : 0;
    token = token_of(block_max(best));
    if (op.rows[row].draws()) {
      const int drawn = draw(op, row);
      if (drawn >= 0) token = drawn;
    }
  }
  if (threadIdx.x == 0) op.drawn[row] = {token, float(double(op.logits[row * op.vocab_size + token]) - log_total)};
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
  Adjustment* adjustments;   // behind the rows: one copy brings both
  Drawn* results;            // the drawn, then the top of each row
  SpanSummary* spans;        // [num_rows, num_spans]
  Cut* cuts;                 // [num_rows, 2]
  std::int32_t* candidates;  // [num_rows, vocab_size]
  float* adjusted;           // [num_rows, vocab_size]
};

int spans_of(int vocab_size) { return (vocab_size + kSpanTokens - 1) / kSpanTokens; }

Memory memory_of(std::size_t num_rows, std::size_t num_adjustments, std::size_t num_results, int vocab_size,
                 DeviceScratch& scratch) {
  static_assert(sizeof(RowParameters) % alignof(Adjustment) == 0);
  auto* const rows = scratch.of<std::byte>(num_rows * sizeof(RowParameters) + num_adjustments * sizeof(Adjustment));
  return {.rows = reinterpret_cast<RowParameters*>(rows),
          .adjustments = reinterpret_cast<Adjustment*>(rows + num_rows * sizeof(RowParameters)),
          .results = scratch.of<Drawn>(num_results),
          .spans = scratch.of<SpanSummary>(num_rows * spans_of(vocab_size)),
          .cuts = scratch.of<Cut>(2 * num_rows),
          .candidates = scratch.of<std::int32_t>(num_rows * vocab_size),
          .adjusted = scratch.of<float>(num_rows * vocab_size)};
}

}  // namespace

// Every token of a row may have an adjustment, and be asked for by its log-probability.
void count_sample(const StepSize& largest, DeviceScratch& scratch) {
  const std::size_t num_rows = std::size_t(std::min(largest.num_outputs, kTokensAtOnce));
  memory_of(num_rows, num_rows * largest.vocab_size, num_rows * (1 + std::size_t(largest.vocab_size)),
            largest.vocab_size, scratch);
}

// Limited by launches for a few rows. Reads each row two or three times.
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
  bool has_top_k = false, has_top_p = false, has_draws = false;
  for (int r = 0; r < op.num_rows; ++r) {
    const SampleRow& row = op.rows[r];
    const std::vector<Adjustment> own = row.forced < 0 ? adjustments_of(row) : std::vector<Adjustment>();
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
    has_top_k |= rows.back().asks_for(Filter::top_k);
    has_top_p |= rows.back().asks_for(Filter::top_p);
    has_draws |= rows.back().draws();
  }

  scratch_.clear();
  const std::size_t row_bytes = rows.size() * sizeof(RowParameters);
  const std::size_t adjustment_bytes = adjustments.size() * sizeof(Adjustment);
  const std::size_t num_results = rows.size() * std::size_t(1 + max_logprobs);
  const Memory memory = memory_of(rows.size(), adjustments.size(), num_results, op.vocab_size, scratch_);
  const Sampling sampling{.logits = op.logits,
                          .rows = memory.rows,
                          .adjustments = memory.adjustments,
                          .adjusted = memory.adjusted,
                          .spans = memory.spans,
                          .cuts = memory.cuts,
                          .candidates = memory.candidates,
                          .drawn = memory.results,
                          .top = memory.results + rows.size(),
                          .vocab_size = op.vocab_size,
                          .num_spans = spans_of(op.vocab_size),
                          .max_logprobs = max_logprobs};

  std::byte* const pinned = pinned_.of(row_bytes + adjustment_bytes + num_results * sizeof(Drawn));
  std::copy_n(reinterpret_cast<const std::byte*>(rows.data()), row_bytes, pinned);
  std::copy_n(reinterpret_cast<const std::byte*>(adjustments.data()), adjustment_bytes, pinned + row_bytes);
  stream_.copy_to_device(memory.rows, pinned, row_bytes + adjustment_bytes);

  // Only what some row asks for. A row that does not is passed over.
  const Spread of_spans{.blocks = dim3(unsigned(sampling.num_spans), unsigned(op.num_rows)), .threads = kSpanThreads};
  const Spread of_rows{.blocks = unsigned(op.num_rows), .threads = kRowThreads};
  stream_.launch("sample", of_spans, summarize_spans, sampling);
  if (has_top_k) {
    stream_.launch("sample", of_spans, fill_bins, sampling, Filter::top_k);
    stream_.launch("sample", of_spans, find_candidates, sampling, Filter::top_k);
    stream_.launch("sample", of_rows, cut_top_k, sampling);
  }
  if (has_top_p) stream_.launch("sample", of_spans, fill_bins, sampling, Filter::top_p);
  if (has_draws) stream_.launch("sample", of_spans, find_candidates, sampling, Filter::top_p);
  if (max_logprobs > 0)
    stream_.launch("sample", {.blocks = unsigned(op.num_rows), .threads = kSpanThreads}, find_likeliest, sampling);
  stream_.launch("sample", of_rows, choose_tokens, sampling);

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
