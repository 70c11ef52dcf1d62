#include <cuda_runtime.h>

#include <optional>

#include "backend/cuda/cuda.h"
#include "emulator/emulator.h"
#include "runtime/synthetic.h"
#include "support/not_finite.h"
#include "support/restore_emulator.h"
#include "support/small_engine.h"
#include "testing.h"

using namespace grok;
using namespace grok::cuda;
using namespace grok::testing;

// An engine on a device that fails: the errors of its callers, and that nothing is leaked.
namespace {

constexpr int kTokensEach = 4;  // a prompt, one single step, one that is captured and one that is replayed

std::unique_ptr<runtime::Engine> open_engine() {
  model::GrokConfig config = small_config();
  config.num_layers = 1;  // it runs some hundred times
  config.d_model = config.d_ff = config.vocab_size = 16;
  config.num_experts = 2;
  config.context_length = 64;
  runtime::EngineOptions options;
  options.max_sequences = 2;
  options.prefill_chunk = 4;
  return engine_on(make_backend({}), runtime::make_synthetic_source(config, 1), config, options);
}

std::unique_ptr<runtime::Engine> open_loaded() {
  auto engine = open_engine();
  while (!engine->load_next().done) continue;
  return engine;
}

std::vector<runtime::SequenceId> submit_two(runtime::Engine& engine) {
  return {engine.submit({.prompt = {1, 2, 3}, .max_tokens = kTokensEach}),
          engine.submit({.prompt = {4}, .max_tokens = kTokensEach})};
}

int run_to_end(runtime::Engine& engine, const std::vector<runtime::SequenceId>& ids) {
  int num_tokens = 0;
  for (std::size_t num_finished = 0; num_finished < ids.size();)
    for (const runtime::SequenceOutput& output : step_of(engine, ids)) {
      num_tokens += output.token.has_value();
      num_finished += output.finish != runtime::Finish::no;
    }
  return num_tokens;
}

template <typename Work>
std::optional<Error> error_of(const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

bool says(const Error& error, const char* part) { return std::string(error.what()).find(part) != std::string::npos; }

// Objects held at construction are all that is held at destruction.
struct NothingLeft {
  ~NothingLeft() {
    CHECK_EQ(emulator::allocated_bytes(), bytes);
    CHECK_EQ(emulator::num_objects(), objects);
  }
  const std::size_t bytes = emulator::allocated_bytes();
  const int objects = emulator::num_objects();
};

}  // namespace

TEST("a weight that is not finite is refused with its name and place") {
  check_refused_at_load([] { return make_backend({}); });
}

TEST("a sequence that overflows ends alone and says where, with every cache") {
  check_overflow_is_told([] { return make_backend({}); });
}

TEST("a device that fails during a generation: the engine tells all sequences that run, wait or come later") {
  const Restore restore;
  const NothingLeft nothing_left;
  const auto engine = open_loaded();
  const int free_pages = engine->stats().free_cache_pages;
  const std::vector<runtime::SequenceId> running = submit_two(*engine), waiting = submit_two(*engine);
  CHECK_EQ(step_of(*engine, running).size(), 2u);
  emulator::fail("cudaStreamSynchronize", cudaErrorIllegalAddress, 1, true);

  const std::string failure = "the CUDA device failed at waiting for the device: cudaErrorIllegalAddress";
  const auto check_told = [&](const std::vector<runtime::SequenceId>& ids) {
    std::vector<runtime::SequenceId> failed;
    try {
      step_of(*engine, ids);
    } catch (const runtime::StepError& error) {
      CHECK_EQ(std::string(code_name(error.code)), "GROK_DEVICE_FAILED");
      CHECK(std::string(error.what()).starts_with(failure));
      CHECK_EQ(
          error.hint,
          "Results of this device cannot be trusted any more: close the model and open it again in a new process.");
      failed = error.sequences;
    }
    CHECK(failed == ids);
    CHECK_EQ(engine->stats().free_cache_pages, free_pages);
  };
  check_told(running);
  check_told(waiting);
  check_told(submit_two(*engine));
  CHECK_EQ(step_of(*engine, running).size(), 0u);  // they are released: nothing to wait for
  CHECK_ERROR(make_backend({}), ErrorCode::cuda_unavailable, "the NVIDIA driver reports cudaErrorIllegalAddress");
  emulator::heal();
  check_told(submit_two(*engine));  // whatever the device reports now
}

TEST("any call to CUDA that fails permanently: one code for all later calls, and nothing is leaked") {
  const Restore restore;
  int num_calls = 0, num_in_steps = 0;
  for (bool was_met = true; was_met; ++num_calls) {
    const NothingLeft nothing_left;
    emulator::fail(nullptr, cudaErrorIllegalAddress, num_calls + 1, true);
    {
      std::unique_ptr<runtime::Engine> engine;
      if (const auto error = error_of([&] { engine = open_engine(); })) {
        CHECK(error->code == ErrorCode::cuda_unavailable || error->code == ErrorCode::device_failed);
        CHECK(says(*error, "cudaErrorIllegalAddress"));
      } else if (const auto error = error_of([&] {
                   while (!engine->load_next().done) continue;
                 })) {
        CHECK(error->code == ErrorCode::device_failed);
        const auto again = error_of([&] { engine->load_next(); });
        CHECK(again && again->code == ErrorCode::device_failed);
      } else if (const auto error =
                     error_of([&] { CHECK_EQ(run_to_end(*engine, submit_two(*engine)), 2 * kTokensEach); })) {
        ++num_in_steps;
        CHECK(error->code == ErrorCode::device_failed);
        const auto next = error_of([&] { step_of(*engine, submit_two(*engine)); });
        CHECK(next && next->code == ErrorCode::device_failed && says(*next, "cudaErrorIllegalAddress"));
      }
    }  // where every call fails, too
    was_met = emulator::heal();
  }
  CHECK(num_in_steps > 60);  // 17 launches in each step that is not replayed, and their other calls
}

TEST(
    "memory that the device or the system refuses while a model is opened and loaded: out of memory, and all is given "
    "back") {
  const Restore restore;
  for (const char* function : {"cudaMalloc", "cudaMallocHost"}) {
    int num_refused = 0;
    for (bool was_met = true; was_met; ++num_refused) {
      const NothingLeft nothing_left;
      emulator::fail(function, cudaErrorMemoryAllocation, num_refused + 1);
      const auto error = error_of([] { open_loaded(); });
      was_met = emulator::heal();
      CHECK_EQ(error.has_value(), was_met);
      if (!error) continue;
      CHECK(error->code == ErrorCode::out_of_memory);
      CHECK(says(*error, "refused"));
      CHECK(!error->hint.empty());
    }
    CHECK(num_refused > 3);
  }
  const auto engine = open_loaded();
  CHECK_EQ(run_to_end(*engine, submit_two(*engine)), 2 * kTokensEach);
}

TEST_MAIN()
