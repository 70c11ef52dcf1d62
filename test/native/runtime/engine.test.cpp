#include "runtime/engine.h"

#include <algorithm>

#include "runtime/engine_rig.h"

namespace grok::runtime {
namespace {

using namespace testing;

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
  check_tokens(rig.run({bystander})[bystander], greedy_after({2}, 3));
  CHECK_EQ(step_of(*rig.engine, both).size(), 0u);
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
  check_tokens(rig.run({wanted})[wanted], greedy_after({2}, 1));
  check_tokens(rig.run({ignored})[ignored], greedy_after({1}, 1));
}

TEST("pages are taken as they are used, and come back when a sequence finishes, and when it is released") {
  Rig rig;
  const int free_pages = rig.engine->stats().free_cache_pages;
  const SequenceId id = rig.engine->submit({.prompt = prompt_of(60), .max_tokens = 5});
  const std::vector<SequenceId> ids = {id};
  step_of(*rig.engine, ids);
  CHECK_EQ(rig.engine->stats().free_cache_pages, free_pages - 1);  // 60 tokens
  for (int step = 0; step < 4; ++step) step_of(*rig.engine, ids);
  CHECK_EQ(rig.engine->stats().free_cache_pages, free_pages);
  const SequenceId longer = rig.engine->submit({.prompt = prompt_of(60), .max_tokens = 10});
  for (int step = 0; step < 6; ++step) step_of(*rig.engine, {longer});
  CHECK_EQ(rig.engine->stats().free_cache_pages, free_pages - 2);  // 65 tokens
  rig.run({longer});
  CHECK_EQ(rig.engine->stats().free_cache_pages, free_pages);

  const std::vector<SequenceId> others = {rig.engine->submit({.prompt = {1}, .max_tokens = 64})};
  step_of(*rig.engine, others);
  CHECK_EQ(rig.engine->stats().free_cache_pages, free_pages - 1);
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
    check_tokens(rig.run({id})[id], greedy_after(prompt, 6));
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
      check_tokens(generated[ids[index]], greedy_after(prompts[index], 20));
  }
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
