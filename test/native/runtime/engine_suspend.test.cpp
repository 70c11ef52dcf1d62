#include "runtime/engine_rig.h"

namespace grok::runtime {
namespace {

using namespace testing;

TEST("to suspend an unknown, a waiting or a finished sequence does no harm") {
  Rig rig;
  rig.engine->suspend(99);
  const SequenceId id = rig.engine->submit({.prompt = {1}, .max_tokens = 2});
  rig.engine->suspend(id);
  check_tokens(rig.run({id})[id], greedy_after({1}, 2));
  rig.engine->suspend(id);
}

TEST("a suspended sequence gives its place to the next, and goes on with the same tokens") {
  for (const bool prefix_cache : {false, true})
    for (const int num_steps : {1, 3, 10, 40}) {
      EngineOptions options = options_with(1, 50);
      options.prefix_cache = prefix_cache;
      Rig rig(options);
      const Tokens prompt = prompt_of(100);
      const SequenceId first = rig.engine->submit({.prompt = prompt, .max_tokens = 60});
      const SequenceId second = rig.engine->submit({.prompt = {2}, .max_tokens = 5});
      Tokens generated;
      for (int step = 0; step < num_steps; ++step)
        for (const SequenceOutput& output : step_of(*rig.engine, {first}))
          if (output.token) generated.push_back(output.token->token);
      rig.engine->suspend(first);
      CHECK_EQ(rig.engine->stats().free_cache_pages, rig.engine->stats().cache_pages);
      check_tokens(rig.run({second})[second], greedy_after({2}, 5));
      const Tokens rest = rig.run({first})[first];
      generated.insert(generated.end(), rest.begin(), rest.end());
      check_tokens(generated, greedy_after(prompt, 60));
      CHECK_EQ(rig.engine->stats().generated_tokens, std::uint64_t(65));
    }
}

TEST("a sequence that is suspended during a step keeps the token of that step") {
  Rig rig(options_with(1));
  const Tokens prompt = prompt_of(70);
  const SequenceId id = rig.engine->submit({.prompt = prompt, .max_tokens = 6});
  rig.backend->on_qkv = [&] { rig.engine->suspend(id); };
  Tokens generated;
  for (int step = 0; step < 3; ++step) generated.push_back(step_of(*rig.engine, {id})[0].token->token);
  CHECK_EQ(rig.engine->stats().free_cache_pages, rig.engine->stats().cache_pages);
  rig.backend->on_qkv = nullptr;
  const Tokens rest = rig.run({id})[id];
  generated.insert(generated.end(), rest.begin(), rest.end());
  check_tokens(generated, greedy_after(prompt, 6));
}

TEST("outputs of a prompt come once, however often their sequence is suspended") {
  for (const PromptOutputs outputs : {PromptOutputs::logprobs, PromptOutputs::logits}) {
    Rig rig(options_with(1, 30));
    const Tokens prompt = prompt_of(100);
    const SequenceId id = rig.engine->submit({.prompt = prompt, .max_tokens = 8, .prompt_outputs = outputs});
    std::vector<SampledToken> scored;
    std::vector<float> logits;
    Tokens generated;
    int num_steps = 0;
    for (bool finished = false; !finished;) {
      for (const SequenceOutput& output : step_of(*rig.engine, {id})) {
        scored.insert(scored.end(), output.prompt.begin(), output.prompt.end());
        logits.insert(logits.end(), output.logits.begin(), output.logits.end());
        if (output.token) generated.push_back(output.token->token);
        finished = output.finish != Finish::no;
      }
      if (++num_steps == 3 || num_steps == 9) rig.engine->suspend(id);
    }
    check_tokens(generated, greedy_after(prompt, 8));
    const bool scores = outputs == PromptOutputs::logprobs;
    CHECK_EQ(scored.size(), scores ? 99u : 0u);
    CHECK_EQ(logits.size(), scores ? 0u : 100u * kFakeVocabSize);
    for (std::size_t index = 0; index < scored.size(); ++index) CHECK_EQ(scored[index].token, prompt[index + 1]);
    for (std::size_t place = 0; place < logits.size(); ++place) {
      const std::size_t position = place / kFakeVocabSize;
      CHECK_EQ(logits[place], fake_logit(hash_of(std::span(prompt).first(position + 1)), int(place % kFakeVocabSize)));
    }
  }
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
