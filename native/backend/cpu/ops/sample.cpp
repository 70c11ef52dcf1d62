#include "backend/cpu/ops/sample.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>

#include "backend/cpu/cpu_backend.h"
#include "core/finite.h"

namespace grok::cpu {
namespace {

// Returns the best token; of equals the first, which has the lower id. NaN never wins.
std::int32_t best_token(std::span<const float> logits, const Kernels& kernels) {
  const float highest = kernels.highest(logits.data(), logits.size());
  const auto best = std::find(logits.begin(), logits.end(), highest);
  return best == logits.end() ? 0 : std::int32_t(best - logits.begin());
}

// Returns NaN if any logit is not finite.
double log_sum_exp(std::span<const float> logits, const Kernels& kernels) {
  if (!all_finite(logits)) return std::numeric_limits<double>::quiet_NaN();
  const float highest = kernels.highest(logits.data(), logits.size());
  return highest + std::log(kernels.sum_of_exp(logits.data(), logits.size(), highest));
}

std::vector<TokenLogprob> likeliest(std::span<const float> logits, int count, double log_total) {
  if (count == 0) return {};
  std::vector<std::int32_t> tokens(logits.size());
  std::iota(tokens.begin(), tokens.end(), 0);
  count = std::min(count, int(tokens.size()));
  std::partial_sort(tokens.begin(), tokens.begin() + count, tokens.end(), [&](std::int32_t a, std::int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  std::vector<TokenLogprob> top(count);
  for (int rank = 0; rank < count; ++rank) top[rank] = {tokens[rank], float(logits[tokens[rank]] - log_total)};
  return top;
}

bool likelier(const Candidate& a, const Candidate& b) {
  return a.probability != b.probability ? a.probability > b.probability : a.token < b.token;
}

// Returns the least probability that top_p keeps. Source: runners.py:top_p_filter, which sorts ascending, finds the
// first value where the running sum reaches 1 - top_p, and keeps the values that are not below it. In descending order:
// a token is kept while the sum of those above it is at most top_p, and so are ties with the last one kept.
double least_of_top_p(std::vector<double> probabilities,  // one or more, none above 1
                      double unlikely,                    // total weight of the other tokens, which are all less likely
                      double top_p) {
  const double limit = top_p * std::accumulate(probabilities.begin(), probabilities.end(), unlikely);
  double above = 0, least = 0;
  // First divides by bins, 64 for each factor of two, because the upper bits of a positive number sort like its value.
  // Bins above the one in which the sum reaches the limit are kept, and those below are dropped.
  const auto bin_of = [](double probability) { return std::bit_cast<std::uint64_t>(probability) >> 46; };
  const std::uint64_t lowest = bin_of(*std::min_element(probabilities.begin(), probabilities.end()));
  std::vector<double> bins(bin_of(1) - lowest + 1);
  for (const double probability : probabilities) bins[bin_of(probability) - lowest] += probability;
  std::size_t bin = bins.size();
  while (bin > 0 && above + bins[bin - 1] <= limit) above += bins[--bin];
  if (bin == 0) return 0;
  std::erase_if(probabilities, [&](double probability) { return bin_of(probability) - lowest != bin - 1; });
  // [begin, first) are kept, [last, end) are dropped; each iteration decides half of the others.
  for (auto first = probabilities.begin(), last = probabilities.end(); first < last;) {
    const auto middle = first + (last - first) / 2;
    std::nth_element(first, middle, last, std::greater());
    const double above_middle = std::accumulate(first, middle, above);
    if (above_middle > limit) {
      last = middle;
    } else {
      above = above_middle + *middle;
      least = *middle;
      first = middle + 1;
    }
  }
  return least;
}

std::int32_t draw(const std::vector<Candidate>& candidates, double uniform) {
  double total = 0;
  for (const Candidate& candidate : candidates) total += candidate.probability;
  double left = uniform * total;
  std::int32_t last = candidates.front().token;
  for (const Candidate& candidate : candidates) {
    if (candidate.probability == 0) continue;  // kept, but too unlikely to be drawn
    last = candidate.token;
    left -= candidate.probability;
    if (left < 0) break;
  }
  return last;  // rounding may leave the last as the only token to draw
}

}  // namespace

std::vector<float> adjusted_logits(std::span<const float> logits, const SampleRow& row) {
  std::vector<float> adjusted(logits.begin(), logits.end());
  const SamplingParams& params = row.params;
  for (const TokenBias& bias : row.bias) adjusted[bias.token] += bias.bias;
  for (const TokenCount& seen : row.history) {
    float& logit = adjusted[seen.token];
    logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    if (seen.generated > 0) logit -= params.presence_penalty + float(seen.generated) * params.frequency_penalty;
  }
  return adjusted;
}

std::vector<Candidate> sampling_candidates(std::span<const float> adjusted, const SamplingParams& params,
                                           const Kernels& kernels) {
  constexpr float kRuledOut = -std::numeric_limits<float>::infinity();
  const float highest = kernels.highest(adjusted.data(), adjusted.size());
  // Drops tokens that are too unlikely to be kept. Either min_p drops them, or the whole vocabulary at this probability
  // would weigh less than 1 - top_p. (The best token's probability counts as 1.) With a trained model few tokens are
  // likely, so few need an exact exponential and a rank. If all are equally likely, this saves nothing.
  double least = 0;
  if (params.top_k == 0) {
    least = params.min_p;
    if (params.top_p < 1) least = std::max(least, (1.0 - params.top_p) / double(adjusted.size()));
  }
  const float cut = float(std::log(least)) - 0.001f;  // keeps values that could round to either side of `least`

  std::vector<Candidate> candidates;
  candidates.reserve(adjusted.size());
  std::vector<float> unlikely(adjusted.size(), kRuledOut);  // exponents of the dropped tokens
  for (std::size_t token = 0; token < adjusted.size(); ++token) {
    if (!(adjusted[token] > kRuledOut)) continue;  // banned by its bias, or NaN
    // Infinity minus infinity is NaN.
    const bool is_highest = adjusted[token] == highest;
    const float exponent = is_highest ? 0 : (adjusted[token] - highest) / params.temperature;
    if (exponent < cut)
      unlikely[token] = exponent;
    else
      candidates.push_back(
          {std::int32_t(token), is_highest ? 1 : std::exp((adjusted[token] - double(highest)) / params.temperature)});
  }
  double least_kept = params.min_p;
  if (params.top_k > 0 && std::size_t(params.top_k) < candidates.size()) {
    std::vector<Candidate> ranked = candidates;
    const auto last = ranked.begin() + params.top_k - 1;
    std::nth_element(ranked.begin(), last, ranked.end(), likelier);
    std::erase_if(candidates, [&](const Candidate& candidate) { return likelier(*last, candidate); });
  }
  if (params.top_p < 1 && !candidates.empty()) {
    std::vector<double> probabilities;
    probabilities.reserve(candidates.size());
    for (const Candidate& candidate : candidates) probabilities.push_back(candidate.probability);
    const double rest = kernels.sum_of_exp(unlikely.data(), unlikely.size(), 0);
    least_kept = std::max(least_kept, least_of_top_p(std::move(probabilities), rest, params.top_p));
  }
  std::erase_if(candidates, [&](const Candidate& candidate) { return candidate.probability < least_kept; });
  return candidates;
}

void CpuBackend::sample(const Sample& op) {
  pool_.parallel_for(op.num_rows, [&](std::size_t r) {
    const SampleRow& row = op.rows[r];
    const std::span logits(op.logits + r * op.vocab_size, op.vocab_size);
    const double log_total = log_sum_exp(logits, kernels_);

    std::int32_t token = row.forced;
    if (token < 0) {
      const std::vector<float> adjusted = adjusted_logits(logits, row);
      if (row.params.temperature > 0) {
        const std::vector<Candidate> candidates = sampling_candidates(adjusted, row.params, kernels_);
        token = candidates.empty() ? best_token(adjusted, kernels_) : draw(candidates, row.uniform);
      } else {
        token = best_token(adjusted, kernels_);
      }
    }
    op.out[r] = {.token = token,
                 .logprob = float(logits[token] - log_total),
                 .top = likeliest(logits, row.params.num_logprobs, log_total)};
  });
}

}  // namespace grok::cpu
