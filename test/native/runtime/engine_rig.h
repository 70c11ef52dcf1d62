#pragma once

#include <map>
#include <memory>
#include <vector>

#include "runtime/engine.h"
#include "runtime/fake_backend.h"
#include "support/small_engine.h"
#include "testing.h"

namespace grok::testing {

using Tokens = std::vector<std::int32_t>;

// An engine over the fake backend, loaded.
struct Rig {
  explicit Rig(const runtime::EngineOptions& options = {}, bool loaded = true) {
    const model::GrokConfig config = fake_config();
    auto owned_backend = std::make_unique<FakeBackend>();
    backend = owned_backend.get();
    engine = engine_on(std::move(owned_backend), std::make_unique<FakeSource>(config), config, options);
    while (loaded && !engine->load_next().done) continue;
  }

  // Steps until all of `ids` have finished.
  std::map<runtime::SequenceId, Tokens> run(const std::vector<runtime::SequenceId>& ids) {
    std::map<runtime::SequenceId, Tokens> generated;
    for (std::size_t num_finished = 0; num_finished < ids.size();)
      for (const runtime::SequenceOutput& output : step_of(*engine, ids)) {
        if (output.token) generated[output.sequence].push_back(output.token->token);
        num_finished += output.finish != runtime::Finish::no;
      }
    return generated;
  }

  FakeBackend* backend;
  std::unique_ptr<runtime::Engine> engine;
};

inline Tokens prompt_of(int length, int start = 0) {
  Tokens prompt;
  for (int index = 0; index < length; ++index) prompt.push_back((start + index * 5) % kFakeVocabSize);
  return prompt;
}

inline void check_tokens(const Tokens& found, const Tokens& expected) {
  CHECK_EQ(found.size(), expected.size());
  CHECK(found == expected);
}

inline runtime::EngineOptions options_with(int max_sequences, int prefill_chunk = 0) {
  runtime::EngineOptions options;
  options.max_sequences = max_sequences;
  options.prefill_chunk = prefill_chunk;
  return options;
}

}  // namespace grok::testing
