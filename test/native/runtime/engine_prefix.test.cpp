#include <algorithm>
#include <random>
#include <set>

#include "runtime/engine_rig.h"

namespace grok::runtime {
namespace {

using namespace testing;

EngineOptions options_of(int max_sequences, int prefill_chunk = 0, bool prefix_cache = true) {
  EngineOptions options = options_with(max_sequences, prefill_chunk);
  options.prefix_cache = prefix_cache;
  return options;
}

Tokens joined(Tokens first, const Tokens& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

Tokens random_tokens(std::mt19937& random, int length) {
  Tokens tokens;
  for (int index = 0; index < length; ++index) tokens.push_back(std::int32_t(random() % kFakeVocabSize));
  return tokens;
}

TEST("a prompt that needs its logits computes all of its tokens, and gives no page to others") {
  for (const PromptOutputs outputs : {PromptOutputs::logprobs, PromptOutputs::logits}) {
    Rig rig;
    const Tokens prompt = prompt_of(150);
    for (int round = 0; round < 2; ++round)
      rig.run({rig.engine->submit({.prompt = prompt, .max_tokens = 1, .prompt_outputs = outputs})});
    CHECK_EQ(rig.engine->stats().prompt_tokens, std::uint64_t(300));
    CHECK_EQ(rig.engine->stats().prefix_cache_pages, 0);
    rig.run({rig.engine->submit({.prompt = prompt, .max_tokens = 1})});
    CHECK_EQ(rig.engine->stats().reused_tokens, std::uint64_t(0));
  }
}

TEST("without the prefix cache, nothing is reused") {
  Rig rig(options_of(2, 0, false));
  for (int round = 0; round < 2; ++round) rig.run({rig.engine->submit({.prompt = prompt_of(150), .max_tokens = 1})});
  CHECK_EQ(rig.engine->stats().prompt_tokens, std::uint64_t(300));
  CHECK_EQ(rig.engine->stats().reused_tokens, std::uint64_t(0));
}

TEST("a prompt reuses the whole pages that it has in common with an earlier one, but always computes its last token") {
  for (const int length : {63, 64, 65, 127, 128, 129, 200}) {
    Rig rig;
    const Tokens prompt = prompt_of(length);
    for (int round = 0; round < 2; ++round) {
      const SequenceId id = rig.engine->submit({.prompt = prompt, .max_tokens = 4});
      check_tokens(rig.run({id})[id], greedy_after(prompt, 4));
    }
    const int reused = (length - 1) / kPageSize * kPageSize;
    CHECK_EQ(rig.engine->stats().reused_tokens, std::uint64_t(reused));
    CHECK_EQ(rig.engine->stats().prompt_tokens, std::uint64_t(2 * length - reused));
    CHECK_EQ(rig.engine->stats().cache_pages, rig.engine->stats().free_cache_pages);
  }
}

TEST("prompts that arrive together compute each whole page of their common start once") {
  for (const int chunk : {1, 7, 64, 100, 256}) {
    Rig rig(options_of(8, chunk));
    const Tokens preamble = prompt_of(170);
    std::vector<SequenceId> ids;
    for (int index = 0; index < 8; ++index)
      ids.push_back(rig.engine->submit({.prompt = joined(preamble, prompt_of(9, index)), .max_tokens = 12}));
    auto generated = rig.run(ids);
    for (int index = 0; index < 8; ++index)
      check_tokens(generated[ids[std::size_t(index)]], greedy_after(joined(preamble, prompt_of(9, index)), 12));
    CHECK_EQ(rig.engine->stats().prompt_tokens, std::uint64_t(128 + 8 * (179 - 128)));
    CHECK_EQ(rig.engine->stats().reused_tokens, std::uint64_t(7 * 128));
  }
}

TEST("ten turns of a chat reuse every whole page that was computed before") {
  for (const int chunk : {5, 256}) {
    Rig rig(options_of(2, chunk));
    Tokens history = prompt_of(30);
    std::uint64_t reusable = 0;
    for (int turn = 0; turn < 10; ++turn) {
      const int max_tokens = 11;
      const SequenceId id = rig.engine->submit({.prompt = history, .max_tokens = max_tokens});
      const Tokens reply = rig.run({id})[id];
      check_tokens(reply, greedy_after(history, max_tokens));
      CHECK_EQ(rig.engine->stats().reused_tokens, reusable);
      const int num_cached = int(history.size()) + max_tokens - 1;  // the last token was not computed
      history = joined(joined(history, reply), prompt_of(9, turn));
      reusable += std::uint64_t(num_cached / kPageSize * kPageSize);
    }
  }
}

TEST("when the sequence that computes a page ends, one that waits for it goes on in its place") {
  for (const int steps_before : {1, 2, 3, 4})
    for (const bool pauses : {false, true}) {
      Rig rig(options_of(3, 30));
      const Tokens preamble = prompt_of(140);
      const SequenceId first = rig.engine->submit({.prompt = joined(preamble, {1}), .max_tokens = 5});
      const SequenceId second = rig.engine->submit({.prompt = joined(preamble, {2}), .max_tokens = 5});
      const SequenceId third = rig.engine->submit({.prompt = joined(preamble, {3}), .max_tokens = 5});
      for (int step = 0; step < steps_before; ++step) step_of(*rig.engine, {first, second, third});
      if (!pauses) rig.engine->release(first);
      auto generated = rig.run({second, third});
      check_tokens(generated[second], greedy_after(joined(preamble, {2}), 5));
      check_tokens(generated[third], greedy_after(joined(preamble, {3}), 5));
      if (pauses) check_tokens(rig.run({first})[first], greedy_after(joined(preamble, {1}), 5));
      CHECK_EQ(rig.engine->stats().cache_pages, rig.engine->stats().free_cache_pages);
    }
}

TEST("when a step fails, those that wait for its pages compute them") {
  Rig rig(options_of(2, 30));
  const Tokens prompt = prompt_of(140);
  const SequenceId first = rig.engine->submit({.prompt = prompt, .max_tokens = 5});
  const SequenceId second = rig.engine->submit({.prompt = prompt, .max_tokens = 5});
  step_of(*rig.engine, {first, second});
  rig.backend->on_qkv = [] { throw Error(ErrorCode::io, "the device is on fire"); };
  try {
    step_of(*rig.engine, {first, second});
  } catch (const StepError& error) {
    CHECK(error.sequences == std::vector<SequenceId>{first});
  }
  rig.backend->on_qkv = nullptr;
  check_tokens(rig.run({second})[second], greedy_after(prompt, 5));
}

TEST("a full cache evicts the pages that were unused longest, and never one in use") {
  Rig rig(options_of(2));  // 8 pages
  const auto run_alone = [&](int start, int length) {
    const Tokens prompt = prompt_of(length, start);
    const SequenceId id = rig.engine->submit({.prompt = prompt, .max_tokens = 3});
    check_tokens(rig.run({id})[id], greedy_after(prompt, 3));
    return rig.engine->stats().reused_tokens;
  };
  run_alone(1, 193);  // keeps 3 pages each
  run_alone(2, 193);
  CHECK_EQ(run_alone(1, 193), std::uint64_t(192));
  run_alone(3, 193);  // 9 pages: evicts the end of the second prompt
  CHECK_EQ(run_alone(1, 193), std::uint64_t(2 * 192));
  const std::uint64_t reused = run_alone(2, 193) - 2 * 192;
  CHECK(reused < 192 && reused > 0);
  CHECK_EQ(rig.engine->stats().cache_pages, 8);
}

TEST("sequences are admitted only with room for all of their tokens, and pages in common count once") {
  Rig rig(options_of(4));  // 16 pages
  const Tokens preamble = prompt_of(193);
  std::vector<SequenceId> ids;
  for (int index = 0; index < 4; ++index)
    ids.push_back(rig.engine->submit({.prompt = joined(preamble, {index}), .max_tokens = 62}));
  step_of(*rig.engine, ids);
  CHECK_EQ(rig.engine->stats().free_cache_pages, 16 - 3 - 1);  // one computes, three wait with the same pages
  rig.run(ids);
  CHECK_EQ(rig.engine->stats().free_cache_pages, 16);
}

TEST("equal sequences that decode side by side end with the same pages") {
  Rig rig(options_of(3));
  const Tokens prompt = prompt_of(70);
  std::vector<SequenceId> ids;
  for (int index = 0; index < 3; ++index) ids.push_back(rig.engine->submit({.prompt = prompt, .max_tokens = 130}));
  auto generated = rig.run(ids);
  for (const SequenceId id : ids) check_tokens(generated[id], greedy_after(prompt, 130));
  CHECK_EQ(rig.engine->stats().prefix_cache_pages, 3);  // 199 tokens
}

TEST(
    "random requests, pauses, suspensions and releases give the tokens of each prompt alone, and every page comes "
    "back") {
  std::mt19937 random(11);
  for (const int chunk : {3, 40, 256}) {
    Rig rig(options_of(5, chunk));
    const std::vector<Tokens> starts = {random_tokens(random, 64), random_tokens(random, 128),
                                        random_tokens(random, 130)};
    struct Running {
      Tokens prompt, generated;
      int max_tokens = 0;
    };
    std::map<SequenceId, Running> running;
    int num_compared = 0;
    while (num_compared < 150) {
      if (running.size() < 12 && random() % 3 == 0) {
        Running made;
        if (random() % 4 > 0) made.prompt = starts[random() % starts.size()];
        if (random() % 2 > 0) made.prompt = joined(made.prompt, random_tokens(random, int(random() % 70)));
        made.prompt.push_back(std::int32_t(random() % kFakeVocabSize));
        made.max_tokens = 1 + int(random() % (250 - made.prompt.size() > 50 ? 50 : 250 - made.prompt.size()));
        const SequenceId id = rig.engine->submit({.prompt = made.prompt, .max_tokens = made.max_tokens});
        running[id] = made;
      }
      std::vector<SequenceId> runnable;
      for (const auto& [id, sequence] : running)
        if (random() % 4 > 0) runnable.push_back(id);
      if (!running.empty() && random() % 10 == 0)
        rig.engine->suspend(std::next(running.begin(), std::ptrdiff_t(random() % running.size()))->first);
      for (const SequenceOutput& output : step_of(*rig.engine, runnable)) {
        Running& sequence = running.at(output.sequence);
        if (output.token) sequence.generated.push_back(output.token->token);
        if (output.finish == Finish::no) continue;
        check_tokens(sequence.generated, greedy_after(sequence.prompt, sequence.max_tokens));
        ++num_compared;
        running.erase(output.sequence);
      }
      if (!running.empty() && random() % 20 == 0) {
        const auto some = std::next(running.begin(), std::ptrdiff_t(random() % running.size()));
        rig.engine->release(some->first);
        running.erase(some);
      }
    }
    for (const auto& [id, sequence] : running) rig.engine->release(id);
    CHECK_EQ(rig.engine->stats().cache_pages, rig.engine->stats().free_cache_pages);
    CHECK(rig.engine->stats().reused_tokens > 0);
  }
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
