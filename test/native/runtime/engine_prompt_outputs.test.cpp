#include <optional>

#include "runtime/engine_rig.h"

namespace grok::runtime {
namespace {

using namespace testing;

TEST("a prompt of one token has nothing to score, and finishes") {
  Rig rig;
  const std::vector<SequenceId> ids = {rig.engine->submit({.prompt = {3}, .prompt_outputs = PromptOutputs::logprobs})};
  const SequenceOutput output = step_of(*rig.engine, ids)[0];
  CHECK_EQ(output.prompt.size(), 0u);
  CHECK(!output.token);
  CHECK(output.finish == Finish::length);
}

TEST("each prompt token but the first is scored given its predecessors, in order, whatever the chunk") {
  const Tokens prompt = prompt_of(70);
  for (const int chunk : {3, 69, 256}) {
    Rig rig(options_with(2, chunk));
    const std::vector<SequenceId> ids = {
        rig.engine->submit({.prompt = {8}, .max_tokens = 40}),
        rig.engine->submit({.prompt = prompt, .max_tokens = 1, .prompt_outputs = PromptOutputs::logprobs})};
    std::vector<SampledToken> scored;
    std::optional<SampledToken> generated;
    while (!generated)
      for (const SequenceOutput& output : step_of(*rig.engine, ids)) {
        if (output.sequence != ids[1]) continue;
        scored.insert(scored.end(), output.prompt.begin(), output.prompt.end());
        generated = output.token;
      }
    CHECK_EQ(scored.size(), prompt.size() - 1);
    for (std::size_t index = 0; index < scored.size(); ++index) {
      const float hash = hash_of(std::span(prompt).first(index + 1));
      CHECK_EQ(scored[index].token, prompt[index + 1]);
      CHECK_EQ(scored[index].logprob, fake_logit(hash, prompt[index + 1]));
    }
    CHECK_EQ(generated->token, best_after(prompt));
  }
}

TEST("logits of every prompt position come in order, whatever the chunk, beside the generated token") {
  const Tokens prompt = prompt_of(70);
  for (const int chunk : {3, 70, 256})
    for (const int max_tokens : {0, 2}) {
      Rig rig(options_with(2, chunk));
      const std::vector<SequenceId> ids = {
          rig.engine->submit({.prompt = {8}, .max_tokens = 40}),
          rig.engine->submit({.prompt = prompt, .max_tokens = max_tokens, .prompt_outputs = PromptOutputs::logits})};
      std::vector<float> logits;
      Tokens generated;
      for (bool finished = false; !finished;)
        for (const SequenceOutput& output : step_of(*rig.engine, ids)) {
          if (output.sequence != ids[1]) continue;
          logits.insert(logits.end(), output.logits.begin(), output.logits.end());
          if (output.token) generated.push_back(output.token->token);
          finished = output.finish != Finish::no;
        }
      CHECK_EQ(logits.size(), prompt.size() * kFakeVocabSize);
      for (std::size_t position = 0; position < prompt.size(); ++position)
        for (int token = 0; token < kFakeVocabSize; ++token)
          CHECK_EQ(logits[position * kFakeVocabSize + std::size_t(token)],
                   fake_logit(hash_of(std::span(prompt).first(position + 1)), token));
      check_tokens(generated, greedy_after(prompt, max_tokens));
    }
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
