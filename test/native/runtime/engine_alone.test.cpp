#include <map>
#include <random>

#include "runtime/engine.h"
#include "support/small_engine.h"
#include "testing.h"

namespace grok::runtime {
namespace {

using testing::small_config;
using testing::step_of;

using Tokens = std::vector<std::int32_t>;

constexpr int kMaxTokens = 70;  // more than a page

// Half of the requests share a preamble of more than two pages; the others have prompts of one token to some pages.
std::vector<SequenceRequest> requests(int count) {
  std::mt19937 random(5);
  const auto random_tokens = [&](std::size_t length) {
    Tokens tokens(length);
    for (std::int32_t& token : tokens) token = std::int32_t(random() % unsigned(small_config().vocab_size));
    return tokens;
  };
  const Tokens preamble = random_tokens(150);
  std::vector<SequenceRequest> made;
  for (int index = 0; index < count; ++index) {
    SequenceRequest request{.prompt = index % 2 == 0 ? preamble : Tokens(), .max_tokens = kMaxTokens};
    const Tokens own = random_tokens(1 + random() % (index % 2 == 0 ? 40 : 200));
    request.prompt.insert(request.prompt.end(), own.begin(), own.end());
    request.sampling.temperature = index % 3 == 0 ? 0.0f : 0.9f;
    request.sampling.frequency_penalty = index % 5 == 0 ? 0.4f : 0.0f;
    request.seed = std::uint64_t(index);
    made.push_back(std::move(request));
  }
  return made;
}

struct Result {
  Tokens tokens;
  std::vector<float> logprobs;
  bool operator==(const Result&) const = default;
};

std::unique_ptr<Engine> open_small(const EngineOptions& options) {
  auto engine = Engine::open_synthetic(small_config(), options);
  while (!engine->load_next().done) continue;
  return engine;
}

std::vector<Result> run_together(Engine& engine, std::span<const SequenceRequest> wanted) {
  std::vector<SequenceId> ids;
  for (const SequenceRequest& request : wanted) ids.push_back(engine.submit(request));
  std::map<SequenceId, Result> results;
  for (std::size_t num_finished = 0; num_finished < ids.size();)
    for (const SequenceOutput& output : step_of(engine, ids)) {
      if (output.token) {
        results[output.sequence].tokens.push_back(output.token->token);
        results[output.sequence].logprobs.push_back(output.token->logprob);
      }
      num_finished += output.finish != Finish::no;
    }
  std::vector<Result> in_order;
  for (const SequenceId id : ids) in_order.push_back(results[id]);
  return in_order;
}

TEST("a seeded request gives the same tokens and log-probabilities, alone or beside 63 others, in any setting") {
  const std::vector<SequenceRequest> wanted = requests(64);
  for (const char* cache_type : {"f32", "bf16", "int8"}) {
    EngineOptions plain{.device = "cpu", .max_sequences = 1, .kv_cache_type = cache_type, .prefix_cache = false};
    std::vector<Result> alone;
    const auto engine_alone = open_small(plain);
    for (const SequenceRequest& request : wanted) alone.push_back(run_together(*engine_alone, {&request, 1})[0]);
    for (const bool prefix_cache : {false, true})
      for (const int prefill_chunk : {0, 13}) {
        EngineOptions options = plain;
        options.max_sequences = 64;
        options.prefix_cache = prefix_cache;
        options.prefill_chunk = prefill_chunk;
        const auto engine = open_small(options);
        for (int round = 0; round < (prefix_cache ? 2 : 1); ++round) CHECK(run_together(*engine, wanted) == alone);
        CHECK_EQ(engine->stats().reused_tokens > 0, prefix_cache);
      }
  }
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
