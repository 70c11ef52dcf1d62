#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/page_pool.h"
#include "runtime/request.h"

namespace grok::runtime {

// Input of the penalties: each token of the sequence, and how often it was generated.
class TokenHistory {
 public:
  explicit TokenHistory(std::span<const std::int32_t> prompt) {
    for (const std::int32_t token : prompt) entry(token);
  }

  void add_generated(std::int32_t token) { ++entry(token).generated; }
  std::span<const TokenCount> counts() const { return counts_; }

 private:
  TokenCount& entry(std::int32_t token) {
    const auto [place, is_new] = places_.try_emplace(token, counts_.size());
    if (is_new) counts_.push_back({.token = token});
    return counts_[place->second];
  }

  std::vector<TokenCount> counts_;
  std::unordered_map<std::int32_t, std::size_t> places_;  // token -> index in counts_
};

// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014), SplitMix64
inline std::uint64_t splitmix64(std::uint64_t state) {
  state += 0x9E3779B97F4A7C15;
  state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9;
  state = (state ^ (state >> 27)) * 0x94D049BB133111EB;
  return state ^ (state >> 31);
}

// The random number for the index-th generated token, in [0, 1) with the 24 bits that a float holds exactly. It depends
// only on its arguments, so a sequence is the same in any batch.
inline float uniform_draw(std::uint64_t seed, int index) {
  return float(splitmix64(splitmix64(seed) + std::uint64_t(index)) >> 40) * 0x1p-24f;
}

inline bool has_penalties(const SamplingParams& params) {
  bool found = false;
  for_each_option(params, [&](const auto& option, auto value) {
    found |= option.kind == OptionKind::penalty && value != option.neutral;
  });
  return found;
}

// The state of a request.
struct Sequence {
  explicit Sequence(SequenceRequest wanted)
      : request(std::move(wanted)), tokens(std::move(request.prompt)), prompt_size(int(tokens.size())) {
    if (has_penalties(request.sampling)) history.emplace(tokens);
  }

  int num_generated() const { return int(tokens.size()) - prompt_size; }
  int max_size() const { return prompt_size + request.max_tokens; }
  // Tokens that are not in the cache yet. A sequence that decodes has one: the last generated.
  int tokens_left() const { return int(tokens.size()) - num_cached; }
  bool decodes() const { return num_generated() > 0 && tokens_left() == 1; }

  void add_generated(std::int32_t token) {
    tokens.push_back(token);
    if (history) history->add_generated(token);
  }

  SequenceRequest request;           // its prompt is moved to `tokens`
  std::vector<std::int32_t> tokens;  // the prompt, then the generated tokens
  const int prompt_size;
  std::optional<TokenHistory> history;  // only if a penalty needs it
  PageTable pages;                      // not admitted at first
  int num_known_pages = 0;              // the first pages, which the prefix cache knows
  int num_cached = 0;                   // tokens whose keys and values are in the cache
  int num_reported = 0;                 // prompt tokens whose outputs were returned
  bool in_step = false;                 // part of the current step
  bool released = false;                // during a step that runs it
  bool suspended = false;               // during a step that runs it
};

}  // namespace grok::runtime
