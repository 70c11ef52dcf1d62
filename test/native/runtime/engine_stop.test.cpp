#include <algorithm>
#include <atomic>
#include <thread>

#include "runtime/engine_rig.h"

namespace grok::runtime {
namespace {

using namespace testing;

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
  check_tokens({outputs[0].token->token, next[0].token->token}, greedy_after({2}, 2));
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
    check_tokens(generated, greedy_after({1, 2}, 5));
  }
  finished = true;
  visitor.join();
  CHECK_EQ(rig.engine->stats().free_cache_pages, free_pages);
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
