#include "backend/cuda/footprint.h"

#include <cuda_runtime.h>

#include "backend/cuda/cuda.h"
#include "emulator/emulator.h"
#include "runtime/synthetic.h"
#include "support/one_layer.h"
#include "support/restore_emulator.h"
#include "support/small_engine.h"
#include "testing.h"

using namespace grok;
using namespace grok::cuda;
using namespace grok::testing;

// Planned memory equals allocated memory, and is sufficient.
namespace {

constexpr Sizes kMostForExperts{
    .d_model = 96, .d_ff = 160, .experts = 3, .experts_per_token = 2, .up_groups = 4, .down_groups = 8};
constexpr Sizes kMostForQkv{.d_model = 48, .num_q_heads = 24, .num_kv_heads = 6, .kv_groups = 3};
constexpr Sizes kMostForAttentionOut{.d_model = 400, .num_q_heads = 16, .out_groups = 8};
constexpr Sizes kMostForAttention{
    .num_tokens = 5, .num_positions = 3000, .num_q_heads = 8, .num_kv_heads = 1, .head_dim = 32};
constexpr Sizes kMostForSampling{.num_tokens = 5, .num_outputs = 5, .vocab_size = 160, .num_logprobs = 160};

// An error for any allocation on the device; none must occur.
void refuse_memory() { emulator::fail("cudaMalloc", cudaErrorMemoryAllocation); }

}  // namespace

TEST("reports the memory of a step without a device") {
  const Restore restore;
  emulator::settings().num_devices = 0;
  const auto footprint = make_footprint({});
  const Layer layer({});
  CHECK(footprint->scratch_bytes(layer.step()) > 0);
  CHECK_EQ(footprint->matrix_bytes(layer.views.w_q), 32u * 16 + 16 * 4);
  CHECK_EQ(footprint->memory_name(), "GPU memory");
  CHECK_ERROR(make_footprint({.num_limbs = 4}), ErrorCode::invalid_argument, "2 or 3, found 4");
}

TEST("reserved scratch equals the plan, and steps of that size and smaller ones take no more") {
  const Restore restore;
  for (const Sizes& sizes : {kMostForExperts, kMostForQkv, kMostForAttentionOut, kMostForAttention, kMostForSampling})
    for (const int num_limbs : {2, 3}) {
      const Layer layer(sizes);
      const auto backend = make_backend({.num_limbs = num_limbs});
      const std::size_t before = emulator::allocated_bytes();
      backend->reserve_scratch(layer.step());
      CHECK_EQ(emulator::allocated_bytes() - before, backend->footprint().scratch_bytes(layer.step()));

      LoadedLayer loaded(*backend, layer);
      refuse_memory();
      for (const int num_tokens : {1, 5, 9, 17, 70})
        if (num_tokens <= sizes.num_tokens)
          loaded.run(num_tokens, num_tokens == sizes.num_tokens ? sizes.num_outputs : 1);
      CHECK_ERROR(backend->allocate(1), ErrorCode::out_of_memory, "refused");  // the first allocation
    }
}

TEST("more rows than are sampled at once take no more memory than those") {
  const Restore restore;
  const Layer layer({.num_tokens = 200, .num_outputs = 200, .d_model = 1});
  const auto backend = make_backend({});
  LoadedLayer loaded(*backend, layer);
  backend->reserve_scratch(layer.step());
  refuse_memory();
  loaded.run(200, 200);
  CHECK_ERROR(backend->allocate(1), ErrorCode::out_of_memory, "refused");
}

TEST("loading takes no more than the result, and the reserved scratch") {
  for (const int d_ff : {70, 400}) {  // the embedding needs most scratch, or a matrix does
    const Restore restore;
    const Layer layer({.num_tokens = 1, .d_model = 1000, .d_ff = d_ff});
    const auto backend = make_backend({});
    backend->reserve_scratch(layer.step());
    const Bytes rows(random_floats(50 * 1000, 1));
    const TensorView table_view{DType::f32, {50, 1000}, &rows, 0};
    emulator::settings().memory_bytes =
        emulator::allocated_bytes() +
        std::size_t(backend->footprint().matrix_bytes(layer.views.w_up) + backend->footprint().table_bytes(table_view));
    const MatrixPtr matrix = backend->load_matrix(layer.views.w_up);
    const TablePtr table = backend->load_table(table_view);
    CHECK_ERROR(backend->allocate(1), ErrorCode::out_of_memory, "refused");
  }
}

TEST("an engine takes the planned memory, and its steps none") {
  const Restore restore;
  model::GrokConfig config = small_config();
  config.context_length = 192;
  runtime::EngineOptions options;
  options.max_sequences = 3;
  options.prefill_chunk = 80;

  const std::size_t before = emulator::allocated_bytes();
  const auto engine = engine_on(make_backend({}), runtime::make_synthetic_source(config, 1), config, options);
  while (!engine->load_next().done) continue;
  const runtime::MemoryPlan& plan = engine->inspection().memory;
  CHECK_EQ(emulator::allocated_bytes() - before, plan.total() - plan.reserve);

  refuse_memory();
  std::vector<runtime::SequenceId> ids;
  for (int index = 0; index < 3; ++index) {
    runtime::SequenceRequest request;
    for (int token = 0; token < 190; ++token) request.prompt.push_back((token * 7 + index) % config.vocab_size);
    request.max_tokens = 2;
    request.sampling.temperature = 1;
    request.sampling.num_logprobs = config.vocab_size;
    ids.push_back(engine->submit(request));
  }
  int num_finished = 0;
  for (int step = 0; step < 40 && num_finished < 3; ++step)
    for (const runtime::SequenceOutput& output : step_of(*engine, ids))
      num_finished += output.finish != runtime::Finish::no;
  CHECK_EQ(num_finished, 3);
}

TEST_MAIN()
