#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "core/error.h"
#include "runtime/engine.h"
#include "testing.h"

// Every allocation of a model's life fails once: of opening, loading, steps and closing. GROK_FAULT_STRIDE=1 tries all
// of them; the default tries one of seven.
namespace {

std::atomic<long> num_allocations{0}, num_held{0}, fail_at{-1};

void* allocate(std::size_t size, std::size_t alignment) {
  if (++num_allocations == fail_at) throw std::bad_alloc();
  void* const memory = std::aligned_alloc(alignment, (size + alignment) / alignment * alignment);
  if (!memory) throw std::bad_alloc();
  ++num_held;
  return memory;
}

void* allocate_or_null(std::size_t size) noexcept {
  try {
    return allocate(size, alignof(std::max_align_t));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void give_back(void* memory) noexcept {
  if (memory) --num_held;
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new[](std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) { return allocate(size, std::size_t(alignment)); }
void* operator new[](std::size_t size, std::align_val_t alignment) { return allocate(size, std::size_t(alignment)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate_or_null(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return allocate_or_null(size); }
void operator delete(void* memory) noexcept { give_back(memory); }
void operator delete[](void* memory) noexcept { give_back(memory); }
void operator delete(void* memory, std::size_t) noexcept { give_back(memory); }
void operator delete[](void* memory, std::size_t) noexcept { give_back(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { give_back(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { give_back(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { give_back(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { give_back(memory); }

namespace grok::fault {
namespace {

std::vector<std::int32_t> whole_life(const runtime::EngineOptions& options) {
  const auto engine = runtime::Engine::open(GROK_PROJECT_DIR "/test/fixtures/golden/ref-small", options);
  while (!engine->load_next().done) continue;
  runtime::SequenceRequest drawn{
      .prompt = {1, 5, 9, 7, 3}, .max_tokens = 3, .prompt_outputs = runtime::PromptOutputs::logprobs};
  drawn.sampling.temperature = 0.8f;
  drawn.sampling.top_p = 0.9f;
  drawn.sampling.top_k = 40;
  drawn.sampling.repetition_penalty = 1.2f;
  drawn.sampling.num_logprobs = 3;
  drawn.bias = {{.token = 4, .bias = 1}};
  drawn.seed = 3;
  const std::vector<runtime::SequenceId> ids = {
      engine->submit(drawn), engine->submit({.prompt = {2, 4}, .prompt_outputs = runtime::PromptOutputs::logits})};
  engine->set_runnable(ids);
  std::vector<std::int32_t> tokens;
  for (std::size_t num_finished = 0; num_finished < ids.size();)
    for (const runtime::SequenceOutput& output : engine->step()) {
      if (output.token) tokens.push_back(output.token->token);
      num_finished += output.finish != runtime::Finish::no;
    }
  return tokens;
}

// Distance between tried allocations. A prime, so that every allocation of a loop is hit in some iteration.
long stride() {
  const char* const wanted = std::getenv("GROK_FAULT_STRIDE");
  return wanted ? std::atol(wanted) : 7;
}

void check_each_allocation(const runtime::EngineOptions& options) {
  const std::vector<std::int32_t> expected = whole_life(options);
  CHECK_EQ(expected.size(), 3u);
  num_allocations = 0;
  whole_life(options);
  const long total = num_allocations;
  long num_told = 0, num_done = 0;
  for (long point = 1; point <= total; point += stride()) {
    const long held = num_held;
    std::string wrong;
    {
      num_allocations = 0;
      fail_at = point;
      try {
        const std::vector<std::int32_t> tokens = whole_life(options);
        fail_at = -1;
        ++num_done;
        if (tokens != expected) wrong = "another result";
      } catch (const std::bad_alloc&) {
        fail_at = -1;
        ++num_told;
      } catch (const Error& error) {
        fail_at = -1;
        ++num_told;
        if (error.code != ErrorCode::out_of_memory) wrong = concat(code_name(error.code), ": ", error.what());
      } catch (const std::exception& error) {
        fail_at = -1;
        wrong = error.what();
      }
    }
    if (wrong.empty() && num_held > held + 1) wrong = concat(num_held - held, " allocations are never given back");
    if (!wrong.empty()) testing::fail(__FILE__, __LINE__, concat("allocation ", point, " of ", total, ": ", wrong));
  }
  std::printf("    %ld allocations: %ld said so, %ld did without\n", total, num_told, num_done);
  CHECK(whole_life(options) == expected);
}

TEST("an allocation that fails is reported as such, leaks nothing, and the next model works") {
  check_each_allocation({.device = "cpu", .num_threads = 1, .prefill_chunk = 16});
}

TEST("the same with mapped weights, a cache of int8 and two threads") {
  check_each_allocation(
      {.device = "cpu", .num_threads = 2, .prefill_chunk = 16, .kv_cache_type = "int8", .weights = "mapped"});
}

}  // namespace
}  // namespace grok::fault

TEST_MAIN()
