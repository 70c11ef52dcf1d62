#include "runtime/engine.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "runtime/fake_backend.h"
#include "support/small_engine.h"
#include "testing.h"

namespace grok::runtime {
namespace {

using Tokens = std::vector<std::int32_t>;
using testing::FakeBackend;
using testing::step_of;

// An engine over the fake backend, loaded.
struct Rig {
  explicit Rig(const EngineOptions& options = {}, bool loaded = true) {
    const model::GrokConfig config = testing::fake_config();
    auto owned_backend = std::make_unique<FakeBackend>();
    backend = owned_backend.get();
    engine =
        testing::engine_on(std::move(owned_backend), std::make_unique<testing::FakeSource>(config), config, options);
    while (loaded && !engine->load_next().done) continue;
  }

  // Steps until all of `ids` have finished.
  std::map<SequenceId, Tokens> run(const std::vector<SequenceId>& ids) {
    std::map<SequenceId, Tokens> generated;
    for (std::size_t num_finished = 0; num_finished < ids.size();)
      for (const SequenceOutput& output : step_of(*engine, ids)) {
        if (output.token) generated[output.sequence].push_back(output.token->token);
        num_finished += output.finish != Finish::no;
      }
    return generated;
  }

  FakeBackend* backend;
  std::unique_ptr<Engine> engine;
};

Tokens prompt_of(int length, int start = 0) {
  Tokens prompt;
  for (int index = 0; index < length; ++index) prompt.push_back((start + index * 5) % testing::kFakeVocabSize);
  return prompt;
}

void check_tokens(const Tokens& found, const Tokens& expected) {
  CHECK_EQ(found.size(), expected.size());
  CHECK(found == expected);
}

EngineOptions options_with(int max_sequences, int prefill_chunk = 0) {
  EngineOptions options;
  options.max_sequences = max_sequences;
  options.prefill_chunk = prefill_chunk;
  return options;
}

// ---------------------------------------------------------------- misuse

TEST("a step before the weights are loaded is refused") {
  Rig rig({}, false);
  const std::vector<SequenceId> ids = {rig.engine->submit({.prompt = {1}, .max_tokens = 1})};
  CHECK_ERROR(step_of(*rig.engine, ids), ErrorCode::invalid_argument, "loaded before the first step");
}

TEST("a request that cannot be run is refused when it is submitted, and takes nothing") {
  Rig rig;
  const int free_pages = rig.engine->stats().free_cache_pages;
  CHECK_ERROR(rig.engine->submit({.prompt = prompt_of(200), .max_tokens = 57}), ErrorCode::context_overflow, "257");
  CHECK_ERROR(rig.engine->submit({.prompt = {32}, .max_tokens = 1}), ErrorCode::invalid_argument, "prompt[0]");
  CHECK_EQ(rig.engine->stats().free_cache_pages, free_pages);
}

TEST("scratch memory is taken when the engine opens, for the largest step there will be") {
  Rig rig(options_with(3, 17), false);
  CHECK_EQ(rig.backend->reserved_tokens, 20);
}

TEST("unknown, finished and repeated ids do no harm") {
  Rig rig;
  const SequenceId id = rig.engine->submit({.prompt = {1}, .max_tokens = 2});
  const std::vector<SequenceId> runnable = {id, id, 99, -1};
  CHECK_EQ(step_of(*rig.engine, runnable).size(), 1u);
  CHECK_EQ(step_of(*rig.engine, runnable).size(), 1u);
  CHECK_EQ(step_of(*rig.engine, runnable).size(), 0u);
  rig.engine->release(id);
  rig.engine->release(99);
}

TEST("a step for nobody does nothing") {
  Rig rig;
  rig.engine->submit({.prompt = {1}, .max_tokens = 1});
  CHECK_EQ(step_of(*rig.engine, {}).size(), 0u);
  CHECK_EQ(rig.backend->tokens_in_steps.size(), 0u);
}

TEST("a step that fails keeps its code, names its sequences, and gives their cache back") {
  Rig rig;
  const int free_pages = rig.engine->stats().free_cache_pages;
  const SequenceId unlucky = rig.engine->submit({.prompt = {1}, .max_tokens = 3});
  const SequenceId bystander = rig.engine->submit({.prompt = {2}, .max_tokens = 3});
  rig.backend->on_qkv = [] { throw Error(ErrorCode::io, "the device is on fire", "pour water"); };
  const std::vector<SequenceId> first = {unlucky}, both = {unlucky, bystander};
  std::vector<SequenceId> failed;
  try {
    step_of(*rig.engine, first);
  } catch (const StepError& error) {
    CHECK(error.code == ErrorCode::io);
    CHECK_EQ(std::string(error.what()), "the device is on fire");
    CHECK_EQ(error.hint, "pour water");
    failed = error.sequences;
  }
  CHECK(failed == first);
  CHECK_EQ(rig.engine->stats().free_cache_pages, free_pages);
  rig.backend->on_qkv = nullptr;
  check_tokens(rig.run({bystander})[bystander], testing::greedy_after({2}, 3));
  CHECK_EQ(step_of(*rig.engine, both).size(), 0u);
}

// ---------------------------------------------------------------- stopping

TEST("a stopped engine does nothing more") {
  Rig rig;
  const std::vector<SequenceId> ids = {rig.engine->submit({.prompt = {1}, .max_tokens = 1})};
  rig.engine->stop();
  CHECK_ERROR(step_of(*rig.engine, ids), ErrorCode::cancelled, "stopped");
  CHECK_ERROR(rig.engine->submit({.prompt = {1}, .max_tokens = 1}), ErrorCode::cancelled, "stopped");
  CHECK_ERROR(rig.engine->load_next(), ErrorCode::cancelled, "stopped");
}

TEST("stop() from another thread ends the step in progress before its next layer") {
  Rig rig;
  int num_layers_run = 0;
  rig.backend->on_qkv = [&] {
    ++num_layers_run;
    std::thread([&] { rig.engine->stop(); }).join();
  };
  const std::vector<SequenceId> ids = {rig.engine->submit({.prompt = {1}, .max_tokens = 1})};
  CHECK_ERROR(step_of(*rig.engine, ids), ErrorCode::cancelled, "before layer 1 of 2");
  CHECK_EQ(num_layers_run, 1);
}

TEST("a step whose every sequence is released meanwhile ends before its next layer, quietly") {
  Rig rig;
  const int free_pages = rig.engine->stats().free_cache_pages;
  const std::vector<SequenceId> ids = {rig.engine->submit({.prompt = {1}, .max_tokens = 9}),
                                       rig.engine->submit({.prompt = {2}, .max_tokens = 9})};
  int num_layers_run = 0;
  rig.backend->on_qkv = [&] {
    ++num_layers_run;
    for (const SequenceId id : ids) rig.engine->release(id);
  };
  CHECK_EQ(step_of(*rig.engine, ids).size(), 0u);
  CHECK_EQ(num_layers_run, 1);
  CHECK_EQ(rig.engine->stats().free_cache_pages, free_pages);
}

TEST("a sequence released during a step is not reported, and its batch-mate goes on") {
  Rig rig;
  const SequenceId leaving = rig.engine->submit({.prompt = {1}, .max_tokens = 9});
  const SequenceId staying = rig.engine->submit({.prompt = {2}, .max_tokens = 2});
  rig.backend->on_qkv = [&] { rig.engine->release(leaving); };
  const std::vector<SequenceId> ids = {leaving, staying};
  const std::vector<SequenceOutput> outputs = step_of(*rig.engine, ids);
  CHECK_EQ(outputs.size(), 1u);
  CHECK_EQ(outputs[0].sequence, staying);
  const std::vector<SequenceOutput> next = step_of(*rig.engine, ids);
  check_tokens({outputs[0].token->token, next[0].token->token}, testing::greedy_after({2}, 2));
}

TEST("sequences may come and go from another thread while steps run") {
  Rig rig(options_with(2));
  const int free_pages = rig.engine->stats().free_cache_pages;
  std::atomic<bool> finished{false};
  std::thread visitor([&] {
    while (!finished) {
      const SequenceId id = rig.engine->submit({.prompt = {3}, .max_tokens = 200});
      std::this_thread::yield();
      rig.engine->release(id);
    }
  });
  for (int round = 0; round < 20; ++round) {
    const SequenceId id = rig.engine->submit({.prompt = {1, 2}, .max_tokens = 5});
    std::vector<SequenceId> everyone;
    for (SequenceId other = std::max<SequenceId>(1, id - 3); other <= id + 3; ++other) everyone.push_back(other);
    Tokens generated;
    while (generated.size() < 5)
      for (const SequenceOutput& output : step_of(*rig.engine, everyone))
        if (output.sequence == id) generated.push_back(output.token->token);
    check_tokens(generated, testing::greedy_after({1, 2}, 5));
  }
  finished = true;
  visitor.join();
  CHECK_EQ(rig.engine->stats().free_cache_pages, free_pages);
}

// ---------------------------------------------------------------- who runs when

TEST("sequences wait for cache in the order in which they came") {
  Rig rig(options_with(1));
  const SequenceId first = rig.engine->submit({.prompt = {1}, .max_tokens = 2});
  const SequenceId second = rig.engine->submit({.prompt = {2}, .max_tokens = 1});
  const SequenceId third = rig.engine->submit({.prompt = {3}, .max_tokens = 1});
  const std::vector<SequenceId> ids = {third, second, first};
  std::vector<SequenceId> order;
  while (order.size() < 4)
    for (const SequenceOutput& output : step_of(*rig.engine, ids)) order.push_back(output.sequence);
  CHECK((order == std::vector<SequenceId>{first, first, second, third}));
}

TEST("a sequence that nobody runs takes no cache from one that somebody does") {
  Rig rig(options_with(1));
  const SequenceId ignored = rig.engine->submit({.prompt = {1}, .max_tokens = 1});
  const SequenceId wanted = rig.engine->submit({.prompt = {2}, .max_tokens = 1});
  check_tokens(rig.run({wanted})[wanted], testing::greedy_after({2}, 1));
  check_tokens(rig.run({ignored})[ignored], testing::greedy_after({1}, 1));
}

TEST("pages come back when a sequence finishes, and when it is released") {
  Rig rig;
  const int free_pages = rig.engine->stats().free_cache_pages;
  const SequenceId id = rig.engine->submit({.prompt = prompt_of(60), .max_tokens = 5});
  const std::vector<SequenceId> ids = {id};
  step_of(*rig.engine, ids);
  CHECK_EQ(rig.engine->stats().free_cache_pages, free_pages - 2);  // 65 tokens
  rig.run(ids);
  CHECK_EQ(rig.engine->stats().free_cache_pages, free_pages);

  const std::vector<SequenceId> others = {rig.engine->submit({.prompt = {1}, .max_tokens = 64})};
  step_of(*rig.engine, others);
  CHECK_EQ(rig.engine->stats().free_cache_pages, free_pages - 2);
  rig.engine->release(others[0]);
  CHECK_EQ(rig.engine->stats().free_cache_pages, free_pages);
}

TEST("what the engine has done is counted: steps, tokens of prompts and tokens generated") {
  Rig rig(options_with(2, 10));
  const std::vector<SequenceId> ids = {rig.engine->submit({.prompt = prompt_of(25), .max_tokens = 3}),
                                       rig.engine->submit({.prompt = {1}, .max_tokens = 2})};
  CHECK_EQ(rig.engine->stats().steps, std::uint64_t(0));
  step_of(*rig.engine, ids);
  CHECK_EQ(rig.engine->stats().prompt_tokens, std::uint64_t(10));
  rig.run(ids);
  const EngineStats stats = rig.engine->stats();
  CHECK_EQ(stats.steps, std::uint64_t(5));  // three for the longer prompt, and its last two tokens
  CHECK_EQ(stats.prompt_tokens, std::uint64_t(26));
  CHECK_EQ(stats.generated_tokens, std::uint64_t(5));
  CHECK_EQ(stats.cache_pages, stats.free_cache_pages);
}

TEST("a prompt in chunks gives what the whole prompt gives") {
  const Tokens prompt = prompt_of(150);
  for (const int chunk : {1, 7, 64, 149, 150, 256}) {
    Rig rig(options_with(1, chunk));
    const SequenceId id = rig.engine->submit({.prompt = prompt, .max_tokens = 6});
    check_tokens(rig.run({id})[id], testing::greedy_after(prompt, 6));
    const int first_share = std::min(chunk, 150);
    CHECK_EQ(rig.backend->tokens_in_steps[0], first_share);
  }
}

TEST("each step says how much of the prompt is done") {
  Rig rig(options_with(1, 4));
  const std::vector<SequenceId> ids = {rig.engine->submit({.prompt = prompt_of(10), .max_tokens = 2})};
  std::vector<int> done;
  for (int step = 0; step < 4; ++step) done.push_back(step_of(*rig.engine, ids)[0].prompt_tokens_done);
  CHECK(done == (std::vector<int>{4, 8, 10, 10}));
}

TEST("several sequences at once give what each gives alone") {
  const std::vector<Tokens> prompts = {prompt_of(1), prompt_of(70, 3), prompt_of(130, 9), prompt_of(5, 2)};
  for (const int chunk : {16, 256}) {
    Rig rig(options_with(3, chunk));
    std::vector<SequenceId> ids;
    for (const Tokens& prompt : prompts) ids.push_back(rig.engine->submit({.prompt = prompt, .max_tokens = 20}));
    auto generated = rig.run(ids);
    for (std::size_t index = 0; index < prompts.size(); ++index)
      check_tokens(generated[ids[index]], testing::greedy_after(prompts[index], 20));
  }
}

// ---------------------------------------------------------------- sampling

TEST("a seed gives the same draws alone, in company, and in chunks") {
  SequenceRequest request{.prompt = prompt_of(40), .max_tokens = 12, .seed = 42};
  request.sampling.temperature = 1;
  Tokens expected;
  for (int index = 0; index < 12; ++index)
    expected.push_back(std::int32_t(uniform_draw(42, index) * float(testing::kFakeVocabSize)));

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
  const Tokens expected = testing::greedy_after({1, 2}, 10);
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
  check_tokens(rig.run({id})[id], testing::greedy_after(prompt_of(250), 6));
}

// ---------------------------------------------------------------- prompt outputs

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
      const float hash = testing::hash_of(std::span(prompt).first(index + 1));
      CHECK_EQ(scored[index].token, prompt[index + 1]);
      CHECK_EQ(scored[index].logprob, testing::fake_logit(hash, prompt[index + 1]));
    }
    CHECK_EQ(generated->token, testing::best_after(prompt));
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
      CHECK_EQ(logits.size(), prompt.size() * testing::kFakeVocabSize);
      for (std::size_t position = 0; position < prompt.size(); ++position)
        for (int token = 0; token < testing::kFakeVocabSize; ++token)
          CHECK_EQ(logits[position * testing::kFakeVocabSize + std::size_t(token)],
                   testing::fake_logit(testing::hash_of(std::span(prompt).first(position + 1)), token));
      check_tokens(generated, testing::greedy_after(prompt, max_tokens));
    }
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
