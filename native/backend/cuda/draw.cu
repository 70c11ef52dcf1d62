#include "backend/cuda/sampling.h"

namespace grok::cuda {
namespace {

// The tokens that remain for the draw.
struct Remaining {
  float highest;
  double per_temperature;  // 1 / temperature
  u64 lowest;              // rank
  float min_p;             // 0 until top_p is applied
  float bins_per_logit;

  __device__ bool has(float logit, int token) const { return rank_of(logit, token) >= lowest; }
  // The token's probability in integer units of which the best token's has kWholeMass.
  __device__ u64 mass_of(float logit) const {
    const float share = expf(float((double(logit) - highest) * per_temperature));
    return share >= min_p ? u64(double(share) * kWholeMass + 0.5) : 0;
  }
  __device__ u64 weight_of(float logit, Filter filter) const { return filter == Filter::top_k ? 1 : mass_of(logit); }
  // Bin 0 holds the best tokens; the last bin holds all values below it, too.
  __device__ int bin_of(float logit) const { return int(fminf((highest - logit) * bins_per_logit, float(kBins - 1))); }
};

// Computed from the filters so far. Every thread of the block calls it.
__device__ inline Remaining remaining_of(const Sampling& op, std::size_t row, Filter filter) {
  constexpr float kBinsPerLogit = 32;  // for top_p: a token's mass is 0 below e^-32 after temperature
  const double per_temperature = 1.0 / op.rows[row].temperature;
  const u64 best = int(threadIdx.x) < op.num_spans ? op.spans_of(row)[threadIdx.x].best_adjusted : 0;
  return {
      .highest = logit_of(block_max(best)),
      .per_temperature = per_temperature,
      .lowest = op.cut_of(row, Filter::top_k).lowest,
      .min_p = 0,
      .bins_per_logit = filter == Filter::top_k ? kBinsPerLogit : fminf(kBinsPerLogit * float(per_temperature), 1e30f)};
}

// Bin -1: nothing to add. Threads that add to one bin wait for each other, so a warp whose tokens share a bin adds
// their sum once. Every lane of the warp calls it.
__device__ inline void add_to_bin(u64* bins, int bin, u64 weight) {
  if (__ballot_sync(kAllLanes, bin == __shfl_sync(kAllLanes, bin, 0)) != kAllLanes) {
    if (bin >= 0) atomicAdd(&bins[bin], weight);
    return;
  }
  if (bin < 0) return;
  weight = warp_reduce(weight, [](u64 a, u64 b) { return a + b; });
  if (int(threadIdx.x) % kWarpSize == 0) atomicAdd(&bins[bin], weight);
}

struct Boundary {
  int bin;    // -1: all are empty
  u64 above;  // total mass of the bins above it
};

// Returns the last non-empty bin with no more than `limit` above it. Each thread has kCount bins, in order, and the
// mass above the first of them.
template <int kCount>
__device__ Boundary boundary_of(const u64 (&bins)[kCount], u64 above, double limit) {
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

// One block a span: adds the mass of its tokens to bins.
__global__ void __launch_bounds__(kSpanThreads, kSpanBlocks) fill_bins(Sampling op, Filter filter) {
  pdl_sync();
  const std::size_t row = blockIdx.y;
  if (!op.rows[row].uses(filter)) return;
  float logits[kTokensOfThread];
  load_tokens(logits, op.adjusted_of(row), first_token(), op.vocab_size);
  const Remaining remaining = remaining_of(op, row, filter);
  struct Shared {
    u64 bins[kBins];
  };
  Shared& shared = static_shared<Shared>();
#pragma unroll
  for (int bin = int(threadIdx.x); bin < kBins; bin += kSpanThreads) shared.bins[bin] = 0;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kTokensOfThread; ++i) {
    const bool has = remaining.has(logits[i], first_token() + i * kSpanThreads);
    const u64 weight = has ? remaining.weight_of(logits[i], filter) : 0;
    add_to_bin(shared.bins, weight > 0 ? remaining.bin_of(logits[i]) : -1, weight);
  }
  __syncthreads();
#pragma unroll
  for (int bin = int(threadIdx.x); bin < kBins; bin += kSpanThreads)
    if (shared.bins[bin] > 0) atomicAdd(&op.cut_of(row, filter).bins[bin], shared.bins[bin]);
}

// One block a span: the tokens of the boundary bin become candidates, and the mass of the bins above it is counted.
// Without a filter all tokens of a row are counted.
__global__ void __launch_bounds__(kSpanThreads, kSpanBlocks) find_candidates(Sampling op, Filter filter) {
  pdl_sync();
  const std::size_t row = blockIdx.y;
  const RowParameters parameters = op.rows[row];
  if (!parameters.uses(filter) && !(filter == Filter::top_p && parameters.draws())) return;
  float logits[kTokensOfThread];
  load_tokens(logits, op.adjusted_of(row), first_token(), op.vocab_size);
  Remaining remaining = remaining_of(op, row, filter);
  remaining.min_p = parameters.min_p;
  Cut& cut = op.cut_of(row, filter);
  int boundary = kBins;
  if (parameters.uses(filter)) {
    constexpr int kCount = kBins / kSpanThreads;
    u64 bins[kCount], own = 0;
#pragma unroll
    for (int i = 0; i < kCount; ++i) own += bins[i] = cut.bins[int(threadIdx.x) * kCount + i];
    const Running<u64> sum = running_sum(own);
    const double limit =
        filter == Filter::top_k ? double(parameters.top_k - 1) : double(parameters.top_p) * double(sum.total);
    const Boundary found = boundary_of(bins, sum.before, limit);
    boundary = found.bin;
    if (first_token() == 0) {
      cut.limit = limit;
      cut.above = found.above;
    }
  }

  u64 mass = 0;
  unsigned are_candidates = 0;  // one bit for each of the thread's tokens
#pragma unroll
  for (int i = 0; i < kTokensOfThread; ++i) {
    if (!remaining.has(logits[i], first_token() + i * kSpanThreads)) continue;
    const int bin = remaining.bin_of(logits[i]);
    if (bin < boundary) mass += remaining.mass_of(logits[i]);
    if (bin == boundary) are_candidates |= 1u << i;
  }
  mass = block_sum(mass);
  if (threadIdx.x == 0) op.spans_of(row)[blockIdx.x].mass = mass;

  struct Shared {
    int first;  // index of the block's candidates
  };
  Shared& shared = static_shared<Shared>();
  const Running<int> sum = running_sum(__popc(are_candidates));
  if (threadIdx.x == 0) shared.first = sum.total > 0 ? atomicAdd(&cut.num_candidates, sum.total) : 0;
  __syncthreads();
  u64* to = op.candidates_of(row) + shared.first + sum.before;
#pragma unroll
  for (int i = 0; i < kTokensOfThread; ++i)
    if (are_candidates & 1u << i) *to++ = rank_of(logits[i], first_token() + i * kSpanThreads);
}

// Returns the rank at which the filter cuts the row: that of the lowest candidate that is kept or, since top_p keeps
// ties, the lowest with its key. It searches by the bits of the distance from the best candidate. The keys themselves
// begin alike, and threads that add to one bin wait for each other. Every thread of the block calls it. Source of
// top_p: runners.py:top_p_filter, in descending order. Tokens whose mass rounds to 0 may be dropped: they are never
// drawn.
__device__ inline u64 lowest_of(const Sampling& op, std::size_t row, Filter filter, const Remaining& remaining) {
  const Cut& cut = op.cut_of(row, filter);
  const u64* const candidates = op.candidates_of(row);
  const int num_candidates = cut.num_candidates;
  if (num_candidates == 0) return remaining.lowest;  // the filter is not used, or all masses are 0
  const int unsorted_bits = filter == Filter::top_p ? kTokenBits : 0;
  u64 best = 0, worst = ~u64(0);
  for (int i = int(threadIdx.x); i < num_candidates; i += kDrawThreads) {
    const u64 value = candidates[i] >> unsorted_bits;
    best = value > best ? value : best;
    worst = value < worst ? value : worst;
  }
  best = block_max(best);
  worst = ~block_max(~worst);

  struct Shared {
    u64 bins[kBins];
  };
  Shared& shared = static_shared<Shared>();
  static_assert(kBins == kDrawThreads);
  constexpr int kDigitBits = 10;
  static_assert(kBins == 1 << kDigitBits);
  u64 distance = 0, above = cut.above;
  int bits = 64 - __clzll(static_cast<long long>(best - worst));  // undetermined bits of the distance
  while (bits > 0) {
    const int shift = max(bits - kDigitBits, 0);
    shared.bins[threadIdx.x] = 0;
    __syncthreads();
    for (int first = 0; first < num_candidates; first += kDrawThreads) {
      const int i = first + int(threadIdx.x);
      int bin = -1;
      u64 weight = 0;
      if (i < num_candidates) {
        const u64 beyond = best - (candidates[i] >> unsorted_bits) - distance;  // wraps around if it is nearer
        if (beyond >> bits == 0) {
          bin = int(beyond >> shift);
          weight = remaining.weight_of(logit_of(candidates[i]), filter);
        }
      }
      add_to_bin(shared.bins, bin, weight);
    }
    __syncthreads();
    const u64 bins[1] = {shared.bins[threadIdx.x]};
    const Boundary found = boundary_of(bins, above + running_sum(bins[0]).before, cut.limit);
    distance += u64(found.bin) << shift;
    above = found.above;
    bits = shift;
  }
  const u64 lowest = (best - distance) << unsorted_bits;
  return lowest > remaining.lowest ? lowest : remaining.lowest;  // top_k dropped ties that top_p would keep
}

// One block a row: finds its k-th best token.
__global__ void __launch_bounds__(kDrawThreads, 1) cut_top_k(Sampling op) {
  pdl_sync();
  const std::size_t row = blockIdx.x;
  if (!op.rows[row].uses(Filter::top_k)) return;
  const u64 lowest = lowest_of(op, row, Filter::top_k, remaining_of(op, row, Filter::top_k));
  if (threadIdx.x == 0) op.cut_of(row, Filter::top_k).lowest = lowest;
}

// Returns the token at the row's `uniform` of the remaining mass, by ascending id; -1 if no token remains. It first
// finds the span, from the mass that was surely kept and the candidates that remain, then the token. Every thread of
// the block calls it.
__device__ inline int draw(const Sampling& op, std::size_t row) {
  const RowParameters& parameters = op.rows[row];
  struct Shared {
    u64 masses[kMostSpans];
    u64 target;  // within the span
    int span, token;
  };
  Shared& shared = static_shared<Shared>();
  if (int(threadIdx.x) < op.num_spans) shared.masses[threadIdx.x] = op.spans_of(row)[threadIdx.x].mass;
  if (threadIdx.x == 0) shared.span = shared.token = -1;
  __syncthreads();

  Remaining remaining = remaining_of(op, row, Filter::top_p);
  remaining.lowest = lowest_of(op, row, Filter::top_p, remaining);
  remaining.min_p = parameters.min_p;
  const int num_candidates = op.cut_of(row, Filter::top_p).num_candidates;
  for (int first = 0; first < num_candidates; first += kDrawThreads) {
    const int i = first + int(threadIdx.x);
    const u64 rank = i < num_candidates ? op.candidates_of(row)[i] : 0;
    const bool has = rank >= remaining.lowest;
    add_to_bin(shared.masses, has ? token_of(rank) / kSpanTokens : -1, has ? remaining.mass_of(logit_of(rank)) : 0);
  }
  __syncthreads();

  const u64 span_mass = int(threadIdx.x) < op.num_spans ? shared.masses[threadIdx.x] : 0;
  const Running<u64> spans = running_sum(span_mass);
  const u64 target = u64(double(parameters.uniform) * double(spans.total));
  if (spans.before <= target && target < spans.before + span_mass) {
    shared.span = int(threadIdx.x);
    shared.target = target - spans.before;
  }
  __syncthreads();
  if (shared.span < 0) return -1;

  const float* const adjusted = op.adjusted_of(row);
  constexpr int kCount = kSpanTokens / kDrawThreads;
  const int first = shared.span * kSpanTokens + int(threadIdx.x) * kCount;
  u64 masses[kCount], own = 0;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const float logit = first + i < op.vocab_size ? adjusted[first + i] : -INFINITY;
    own += masses[i] = remaining.has(logit, first + i) ? remaining.mass_of(logit) : 0;
  }
  u64 before = running_sum(own).before;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (before <= shared.target && shared.target < before + masses[i]) shared.token = first + i;
    before += masses[i];
  }
  __syncthreads();
  return shared.token;
}

// One block a row: chooses its token.
__global__ void __launch_bounds__(kDrawThreads, 1) choose_token(Sampling op) {
  pdl_sync();
  const std::size_t row = blockIdx.x;
  const double log_total = log_total_of(op, row);
  int token = op.rows[row].forced;
  if (token < 0) {
    const u64 best = int(threadIdx.x) < op.num_spans ? op.spans_of(row)[threadIdx.x].best_adjusted : 0;
    token = token_of(block_max(best));
    if (op.rows[row].draws()) {
      const int drawn = draw(op, row);
      if (drawn >= 0) token = drawn;
    }
  }
  if (threadIdx.x == 0) op.drawn[row] = {token, float(double(op.logits[row * op.vocab_size + token]) - log_total)};
}

}  // namespace

// Each launch skips rows that do not use its filter.
void choose_tokens(const Sampling& op, int num_rows, const UsedFilters& used, Stream& stream) {
  const LaunchConfig spans{.blocks = dim3(unsigned(op.num_spans), unsigned(num_rows)), .threads = kSpanThreads};
  const LaunchConfig rows{.blocks = unsigned(num_rows), .threads = kDrawThreads};
  if (used.top_k) {
    stream.launch("top_k", spans, fill_bins, op, Filter::top_k);
    stream.launch("top_k", spans, find_candidates, op, Filter::top_k);
    stream.launch("top_k", rows, cut_top_k, op);
  }
  if (used.top_p) stream.launch("top_p", spans, fill_bins, op, Filter::top_p);
  if (used.draw) stream.launch("top_p", spans, find_candidates, op, Filter::top_p);
  stream.launch("draw", rows, choose_token, op);
}

}  // namespace grok::cuda
