#pragma once

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <vector>

#include "model/haiku_naming.h"
#include "runtime/synthetic.h"
#include "support/changed_source.h"
#include "support/small_engine.h"
#include "testing.h"

// Checkpoints with a number that is NaN, infinite or too large, on any backend.
namespace grok::testing {

using MakeBackend = std::function<std::unique_ptr<Backend>()>;

inline model::GrokConfig not_finite_config() {
  model::GrokConfig config = small_config();
  config.num_layers = 1;
  config.d_model = config.d_ff = config.vocab_size = 16;
  config.num_experts = 2;
  config.context_length = 64;
  return config;
}

// A NaN or infinity in any tensor that is not int8 is refused with its name and place while it loads.
inline void check_refused_at_load(const MakeBackend& make_backend) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();
  const model::GrokConfig config = not_finite_config();
  for (const std::string& name : model::haiku_names(config.num_layers))
    for (const float value : {kNan, kInfinity, -kInfinity}) {
      auto source = std::make_unique<ChangedSource>(runtime::make_synthetic_source(config, 1));
      source->set(name, 1, value);
      const format::StoredParameter stored = *source->find(name);
      const std::size_t num_axes = stored.weight.shape.size();
      const auto engine = engine_on(make_backend(), std::move(source), config, {});
      const auto load = [&] {
        while (!engine->load_next().done) continue;
      };
      CHECK_ERROR(load(), ErrorCode::bad_checkpoint,
                  concat(name, ": expected finite ", stored.scales ? "scales" : "values", ", found ",
                         std::isnan(value) ? "NaN"
                         : value > 0       ? "infinity"
                                           : "-infinity",
                         " at [",
                         num_axes == 3   ? "0, 0, 1]"
                         : num_axes == 2 ? "0, 1]"
                                         : "1]"));
    }
}

// A finite weight so large that its token overflows. The logits after it are reported as not finite, at that position,
// with every type of cache. A sequence beside it goes on as if it were alone.
inline void check_overflow_is_told(const MakeBackend& make_backend) {
  const model::GrokConfig config = not_finite_config();
  constexpr std::int32_t kOverflowing = 5;
  for (const char* kv_cache_type : {"f32", "bf16", "int8"}) {
    auto source = std::make_unique<ChangedSource>(runtime::make_synthetic_source(config, 1));
    source->set("language_model/in_out_embed/embeddings", std::size_t(kOverflowing) * config.d_model,
                5e36f);  // times embedding_scale: infinity; as a row of the head: finite
    runtime::EngineOptions options;
    options.kv_cache_type = kv_cache_type;
    const auto engine = engine_on(make_backend(), std::move(source), config, options);
    while (!engine->load_next().done) continue;

    // Only the last two requests need logits of the overflowing token's own row.
    const std::map<runtime::SequenceId, int> expected = {
        {engine->submit({.prompt = {1, kOverflowing, 2, 3}, .max_tokens = 3}), 3},
        {engine->submit({.prompt = {1, 2, kOverflowing, 3}, .prompt_outputs = runtime::PromptOutputs::logprobs}), 2},
        {engine->submit({.prompt = {1, kOverflowing, 2}, .prompt_outputs = runtime::PromptOutputs::logits}), 1}};
    const runtime::SequenceId bystander =
        engine->submit({.prompt = {1, 2, 3}, .max_tokens = 4, .bias = {{kOverflowing, -1e38f}}});
    std::vector<runtime::SequenceId> ids = {bystander};
    for (const auto& [id, position] : expected) ids.push_back(id);

    std::map<runtime::SequenceId, int> found;
    int num_tokens = 0;
    for (bool finished = false; !finished;)
      for (const runtime::SequenceOutput& output : step_of(*engine, ids)) {
        if (output.not_finite_at) found[output.sequence] = *output.not_finite_at;
        if (output.sequence != bystander) continue;
        CHECK(!output.not_finite_at);
        num_tokens += output.token.has_value();
        finished = output.finish != runtime::Finish::no;
      }
    CHECK(found == expected);
    CHECK_EQ(num_tokens, 4);
    CHECK_EQ(step_of(*engine, ids).size(), 0u);
  }
}

}  // namespace grok::testing
