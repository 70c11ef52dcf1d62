#include <algorithm>
#include <map>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/sampling.h"
#include "core/error.h"

namespace grok::cuda {
namespace {

// The best rank below `below` among the thread's tokens, or 0.
__device__ inline u64 best_of(const float (&logits)[kTokensOfThread], int first, int vocab_size, u64 below) {
  u64 best = 0;
#pragma unroll
  for (int i = 0; i < kTokensOfThread; ++i) {
    const int token = first + i * kSpanThreads;
    const u64 rank = rank_of(logits[i], token);
    if (token < vocab_size && rank < below && rank > best) best = rank;
  }
  return best;
}

// Index of the row's first adjustment whose token is not below `token`.
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
__device__ inline void adjust(float* adjusted, const float (&logits)[kTokensOfThread], const RowParameters& parameters,
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
  pdl_sync();
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
  span.best = block_max(best_of(logits, first_token(), op.vocab_size, ~u64(0)));
  // infinity minus infinity is NaN
  const float highest = logit_of(span.best), zero = highest > -INFINITY ? highest : 0;
  double total = 0;
#pragma unroll
  for (int i = 0; i < kTokensOfThread; ++i) {
    const bool is_ruled_out = logits[i] == -INFINITY && first_token() + i * kSpanThreads < op.vocab_size;
    total += is_ruled_out ? double(NAN) : double(expf(logits[i] - zero));  // NaN if a logit is not finite
  }
  span.total = block_sum(total);

  span.best_adjusted = span.best;
  if (parameters.num_adjustments > 0) {
    float* const adjusted = op.adjusted + row * op.vocab_size;
    adjust(adjusted, logits, parameters, op.adjustments + parameters.first_adjustment, op.vocab_size);
    load_tokens(logits, adjusted, first_token(), op.vocab_size);
    span.best_adjusted = block_max(best_of(logits, first_token(), op.vocab_size, ~u64(0)));
  }
  if (threadIdx.x == 0) op.spans_of(row)[blockIdx.x] = span;
}

// One block a row: its likeliest tokens. After each of them, only its span is searched again.
__global__ void __launch_bounds__(kSpanThreads) find_likeliest(Sampling op) {
  pdl_sync();
  const std::size_t row = blockIdx.x;
  const int num_logprobs = op.rows[row].num_logprobs;
  Drawn* const top = op.top + row * op.max_logprobs;
  for (int place = num_logprobs + int(threadIdx.x); place < op.max_logprobs; place += kSpanThreads)
    top[place] = {};  // copied to the host but not used
  if (num_logprobs == 0) return;
  const double log_total = log_total_of(op, row);
  u64 best_of_span = int(threadIdx.x) < op.num_spans ? op.spans_of(row)[threadIdx.x].best : 0;
  for (int place = 0; place < num_logprobs; ++place) {
    const u64 best = block_max(best_of_span);
    if (threadIdx.x == 0) top[place] = {token_of(best), float(double(logit_of(best)) - log_total)};
    const int span = token_of(best) / kSpanTokens, first = span * kSpanTokens + int(threadIdx.x);
    float logits[kTokensOfThread];
    load_tokens(logits, op.logits + row * op.vocab_size, first, op.vocab_size);
    const u64 next = block_max(best_of(logits, first, op.vocab_size, best));
    if (int(threadIdx.x) == span) best_of_span = next;
  }
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
  Adjustment* adjustments;  // after the rows: one copy transfers both
  Drawn* results;           // the drawn tokens, then the top tokens of each row
  SpanSummary* spans;       // [num_rows, num_spans]
  Cut* cuts;                // [num_rows, 2]
  u64* candidates;          // [num_rows, vocab_size]
  float* adjusted;          // [num_rows, vocab_size]
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
          .candidates = scratch.of<u64>(num_rows * vocab_size),
          .adjusted = scratch.of<float>(num_rows * vocab_size)};
}

}  // namespace

// Every token of a row may have an adjustment and a requested log-probability.
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
  UsedFilters used;
  for (int r = 0; r < op.num_rows; ++r) {
    const SampleRow& row = op.rows[r];
    const std::vector<Adjustment> own = row.forced < 0 ? adjustments_of(row) : std::vector<Adjustment>();
    RowParameters parameters{row.params};
    parameters.num_logprobs = std::min(parameters.num_logprobs, op.vocab_size);
    parameters.uniform = row.uniform;
    parameters.forced = row.forced;
    parameters.first_adjustment = std::int32_t(adjustments.size());
    parameters.num_adjustments = std::int32_t(own.size());
    rows.push_back(parameters);
    adjustments.insert(adjustments.end(), own.begin(), own.end());
    max_logprobs = std::max(max_logprobs, parameters.num_logprobs);
    used.top_k |= parameters.uses(Filter::top_k);
    used.top_p |= parameters.uses(Filter::top_p);
    used.draw |= parameters.draws();
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

  const auto num_rows = unsigned(op.num_rows), num_spans = unsigned(sampling.num_spans);
  stream_.launch("summary", {.blocks = dim3(num_spans, num_rows), .threads = kSpanThreads}, summarize_spans, sampling);
  if (max_logprobs > 0)
    stream_.launch("likeliest", {.blocks = num_rows, .threads = kSpanThreads}, find_likeliest, sampling);
  choose_tokens(sampling, op.num_rows, used, stream_);

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

}  // namespace grok::cuda
