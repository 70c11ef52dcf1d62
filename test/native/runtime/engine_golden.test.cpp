#include "runtime/engine.h"

#include <algorithm>
#include <map>

#include "support/golden.h"
#include "support/made_up.h"
#include "support/small_engine.h"
#include "testing.h"

namespace grok::runtime {
namespace {

using testing::Golden;
using testing::golden_path;
using testing::step_of;

constexpr const char* kNetworks[] = {"ref-small", "ref-order", "ref-wide"};
constexpr int kNumPrompts = 6;  // those whose greedy continuation the reference and float64 agree on

std::unique_ptr<Engine> open_loaded(const std::string& network, const EngineOptions& options) {
  auto engine = Engine::open(golden_path(network), options);
  while (!engine->load_next().done) continue;
  return engine;
}

TEST("prompts in chunks, more of them than the cache holds, continue as float64 does") {
  for (const char* network : kNetworks) {
    const Golden golden(golden_path(concat(network, "/golden.safetensors")));
    EngineOptions options;
    options.max_sequences = 3;
    options.prefill_chunk = 5;
    const auto engine = open_loaded(network, options);

    std::vector<SequenceId> ids;
    for (int prompt = 0; prompt < kNumPrompts; ++prompt)
      ids.push_back(engine->submit({.prompt = golden.ints(concat("prompt", prompt, "/tokens")), .max_tokens = 17}));
    std::map<SequenceId, std::vector<std::int32_t>> generated;
    for (std::size_t num_finished = 0; num_finished < ids.size();)
      for (const SequenceOutput& output : step_of(*engine, ids)) {
        if (output.token) generated[output.sequence].push_back(output.token->token);
        num_finished += output.finish != Finish::no;
      }
    for (int prompt = 0; prompt < kNumPrompts; ++prompt)
      if (generated[ids[std::size_t(prompt)]] != golden.ints(concat("exact/prompt", prompt, "/decode/tokens")))
        testing::fail(__FILE__, __LINE__, concat(network, " prompt ", prompt, " continues otherwise"));
  }
}

TEST("logits of a prompt in chunks, beside a sequence that decodes, are the exact ones") {
  for (const char* network : kNetworks) {
    const Golden golden(golden_path(concat(network, "/golden.safetensors")));
    EngineOptions options;
    options.prefill_chunk = 7;
    const auto engine = open_loaded(network, options);
    const SequenceId companion = engine->submit({.prompt = {3, 4}, .max_tokens = 100});
    for (int prompt = 0; prompt < kNumPrompts; ++prompt) {
      const std::vector<SequenceId> ids = {companion,
                                           engine->submit({.prompt = golden.ints(concat("prompt", prompt, "/tokens")),
                                                           .prompt_outputs = PromptOutputs::logits})};
      std::vector<float> logits;
      for (bool finished = false; !finished;)
        for (const SequenceOutput& output : step_of(*engine, ids)) {
          if (output.sequence != ids[1]) continue;
          logits.insert(logits.end(), output.logits.begin(), output.logits.end());
          finished = output.finish != Finish::no;
        }
      const std::vector<float> exact = golden.floats(concat("exact/prompt", prompt, "/logits"));
      CHECK_EQ(logits.size(), exact.size());
      CHECK_NEAR(testing::distance(logits, exact), 0, 5e-4);  // as for one forward pass: model/golden.test.cpp
    }
  }
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
