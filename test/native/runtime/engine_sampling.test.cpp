#include <algorithm>

#include "runtime/engine_rig.h"

namespace grok::runtime {
namespace {

using namespace testing;

TEST("a seed gives the same draws alone, in company, and in chunks") {
  SequenceRequest request{.prompt = prompt_of(40), .max_tokens = 12, .seed = 42};
  request.sampling.temperature = 1;
  Tokens expected;
  for (int index = 0; index < 12; ++index)
    expected.push_back(std::int32_t(uniform_draw(42, index) * float(kFakeVocabSize)));

  Rig alone;
  const SequenceId single = alone.engine->submit(request);
  check_tokens(alone.run({single})[single], expected);

  Rig crowded(options_with(4, 9));
  const SequenceId other = crowded.engine->submit({.prompt = {7}, .max_tokens = 30, .seed = 1});
  const SequenceId id = crowded.engine->submit(request);
  check_tokens(crowded.run({other, id})[id], expected);
}

TEST("penalties see the prompt and what was generated so far") {
  Rig rig;
  SequenceRequest request{.prompt = {4, 4, 9}, .max_tokens = 3};
  request.sampling.presence_penalty = 0.5f;
  const std::vector<SequenceId> ids = {rig.engine->submit(request)};
  const std::int32_t first = step_of(*rig.engine, ids)[0].token->token;
  const auto prompt_only = rig.backend->sampled_history[0];
  CHECK_EQ(prompt_only.size(), 2u);
  for (const TokenCount& count : prompt_only) CHECK_EQ(count.generated, 0);
  step_of(*rig.engine, ids);
  int times = 0;
  for (const TokenCount& count : rig.backend->sampled_history[0])
    if (count.token == first) times = count.generated;
  CHECK_EQ(times, 1);
}

TEST("a bias goes to its own sequence only") {
  Rig rig;
  const std::vector<SequenceId> ids = {rig.engine->submit({.prompt = {1}, .max_tokens = 1, .bias = {{5, 2.0f}}}),
                                       rig.engine->submit({.prompt = {1}, .max_tokens = 1})};
  step_of(*rig.engine, ids);
  CHECK_EQ(rig.backend->sampled_bias[0].size(), 1u);
  CHECK_EQ(rig.backend->sampled_bias[0][0].token, 5);
  CHECK_EQ(rig.backend->sampled_bias[1].size(), 0u);
}

TEST("generation ends with a stop token, which is reported") {
  const Tokens expected = greedy_after({1, 2}, 10);
  const std::int32_t stop = expected[4];
  const auto end = std::find(expected.begin(), expected.end(), stop) + 1;
  Rig rig;
  const std::vector<SequenceId> ids = {
      rig.engine->submit({.prompt = {1, 2}, .max_tokens = 10, .stop_tokens = {31, stop}})};
  Tokens generated;
  Finish finish = Finish::no;
  while (finish == Finish::no) {
    const SequenceOutput output = step_of(*rig.engine, ids)[0];
    generated.push_back(output.token->token);
    finish = output.finish;
  }
  CHECK(finish == Finish::stop);
  check_tokens(generated, Tokens(expected.begin(), end));
}

TEST("generation ends with max_tokens") {
  Rig rig;
  const std::vector<SequenceId> ids = {rig.engine->submit({.prompt = {1, 2}, .max_tokens = 2})};
  CHECK(step_of(*rig.engine, ids)[0].finish == Finish::no);
  CHECK(step_of(*rig.engine, ids)[0].finish == Finish::length);
}

TEST("a sequence may fill the context to the last token") {
  Rig rig;
  const SequenceId id = rig.engine->submit({.prompt = prompt_of(250), .max_tokens = 6});
  check_tokens(rig.run({id})[id], greedy_after(prompt_of(250), 6));
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
