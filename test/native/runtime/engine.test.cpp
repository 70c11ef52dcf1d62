#include "runtime/engine.h"

#include <algorithm>
#include <map>

#include "runtime/synthetic.h"
#include "support/golden.h"
#include "support/made_up.h"
#include "testing.h"

namespace grok::runtime {
namespace {

using testing::Golden;
using testing::golden_path;

constexpr const char* kNetworks[] = {"ref-small", "ref-order", "ref-wide"};
constexpr int kNumPrompts = 6;  // those whose greedy continuation the reference and float64 agree on

std::unique_ptr<Engine> open_loaded(const std::string& network, const EngineOptions& options) {
  auto engine = Engine::open(golden_path(network), options);
  while (!engine->load_next().done) continue;
  return engine;
}

void inspect_with(void (*change)(EngineOptions&)) {
  EngineOptions options;
  change(options);
  inspect(golden_path("ref-small"), options);
}

TEST("a device that there is not is refused with the reason") {
  CHECK_ERROR(inspect_with([](EngineOptions& options) { options.device = "tpu"; }), ErrorCode::invalid_argument,
              "\"auto\", \"cpu\" or \"cuda\", found \"tpu\"");
  if (const std::string reason = why_no_cuda(); !reason.empty())
    CHECK_ERROR(Engine::open(golden_path("ref-small"), {.device = "cuda"}), ErrorCode::cuda_unavailable, reason);
}

TEST("device \"auto\" is a GPU where there is one, or says why it is the CPU; one asked for by name explains nothing") {
  const auto engine = Engine::open_synthetic(synthetic_shape("mid", 6), {});
  const auto small = Engine::open(golden_path("ref-small"), {});
  CHECK_EQ(engine->inspection().why_cpu, engine->device().starts_with("cuda (") ? "" : why_no_cuda());
  CHECK_EQ(engine->device().starts_with("cuda ("), why_no_cuda().empty());
  CHECK(small->device().starts_with("cpu ("));
  CHECK_EQ(small->inspection().why_cpu, "a model this small starts sooner on the CPU");
  CHECK_EQ(inspect(golden_path("ref-small"), {}).why_cpu, small->inspection().why_cpu);
  CHECK_EQ(inspect(golden_path("ref-small"), {.device = "cpu"}).why_cpu, "");
}

TEST("device \"auto\" is the CPU where something is asked for that only the CPU does") {
  CHECK_EQ(inspect(golden_path("ref-small"), {.isa = "portable"}).why_cpu, "instructions of the CPU were asked for");
  CHECK_EQ(inspect(golden_path("ref-small"), {.weights = "mapped"}).why_cpu, "mapped weights were asked for");
}

TEST("device \"auto\" is the CPU where the model fits that and no GPU") {
  const model::GrokConfig config = synthetic_shape("mid", 6);
  const MemoryPlan on_cpu = Engine::open_synthetic(config, {.device = "cpu"})->inspection().memory;
  const auto engine = Engine::open_synthetic(config, {.memory_limit = on_cpu.total()});  // a GPU has a reserve besides
  CHECK(engine->device().starts_with("cpu ("));
  if (const std::string reason = why_no_cuda(); reason.empty())
    CHECK(engine->inspection().why_cpu.starts_with("on the GPU, "));
  else
    CHECK_EQ(engine->inspection().why_cpu, reason);
}

TEST("a model larger than the memory limit is refused before a weight is read") {
  EngineOptions options;
  options.memory_limit = 2'000'000;
  CHECK_ERROR(Engine::open(golden_path("ref-small"), options), ErrorCode::out_of_memory, "2 MB is available");
}

TEST("a model that just fits its limit opens, with cache for what is left") {
  EngineOptions options;
  const MemoryPlan plan = inspect(golden_path("ref-small"), options).memory;
  const std::uint64_t one_sequence = plan.kv_cache / 4;
  options.memory_limit = plan.weights + plan.workspace + one_sequence;
  const auto engine = open_loaded("ref-small", options);
  const std::vector<SequenceId> ids = {engine->submit({.prompt = {1}, .max_tokens = 127}),
                                       engine->submit({.prompt = {2}, .max_tokens = 1})};
  CHECK_EQ(engine->step(ids).size(), 1u);  // the first took all pages
}

TEST("parameters are counted, and those that one token uses") {
  const Inspection inspection = inspect(golden_path("ref-small"), {});
  const model::GrokConfig& config = inspection.config;
  std::uint64_t expert_parameters = 0;
  for (const TensorInfo& tensor : inspection.tensors)
    if (tensor.name.find("/moe/") != std::string::npos) expert_parameters += num_elements(tensor.shape);
  CHECK_EQ(expert_parameters,
           std::uint64_t(3 * config.num_layers * config.num_experts) * std::uint64_t(config.d_model * config.d_ff));
  CHECK_EQ(inspection.num_parameters - inspection.num_active_parameters, expert_parameters / 8 * 6);
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
      for (const SequenceOutput& output : engine->step(ids)) {
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
        for (const SequenceOutput& output : engine->step(ids)) {
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
