#include "backend/cuda/footprint.h"

#include <cuda_runtime.h>

#include <numeric>

#include "backend/cuda/cuda.h"
#include "emulator/emulator.h"
#include "runtime/device_engine.h"
#include "runtime/memory_plan.h"
#include "runtime/synthetic.h"
#include "support/made_up.h"
#include "support/on_device.h"
#include "testing.h"

using namespace grok;
using namespace grok::testing;

// That what is said beforehand is what is taken, and that it is enough.
namespace {

struct Restore {
  ~Restore() {
    emulator::settings() = {};
    emulator::heal();
  }
};

// One layer whose matrices have scale groups of their own each, and the step it is for. The sizes decide which operation
// needs most.
struct Sizes {
  int num_tokens = 70, num_outputs = 2, num_positions = 100;
  int d_model = 16, num_q_heads = 2, num_kv_heads = 1, head_dim = 8, d_ff = 16, experts = 2, experts_per_token = 1;
  int vocab_size = 50;
  int kv_groups = 1, out_groups = 1, up_groups = 1, down_groups = 1;
  int num_logprobs = 1;

  int pages_each() const { return (num_positions + kPageSize - 1) / kPageSize; }
};

constexpr Sizes kMostForExperts{
    .d_model = 96, .d_ff = 160, .experts = 3, .experts_per_token = 2, .up_groups = 4, .down_groups = 8};
constexpr Sizes kMostForQkv{.d_model = 48, .num_q_heads = 24, .num_kv_heads = 6, .kv_groups = 3};
constexpr Sizes kMostForAttentionOut{.d_model = 400, .num_q_heads = 16, .out_groups = 8};
constexpr Sizes kMostForAttention{
    .num_tokens = 5, .num_positions = 3000, .num_q_heads = 8, .num_kv_heads = 8, .head_dim = 32};
constexpr Sizes kMostForSampling{.num_tokens = 5, .num_outputs = 5, .vocab_size = 160, .num_logprobs = 160};

struct Layer {
  explicit Layer(const Sizes& sizes)
      : sizes(sizes),
        q(matrix(1, sizes.d_model, sizes.num_q_heads * sizes.head_dim, 1)),
        k(matrix(1, sizes.d_model, sizes.num_kv_heads * sizes.head_dim, sizes.kv_groups)),
        v(matrix(1, sizes.d_model, sizes.num_kv_heads * sizes.head_dim, sizes.kv_groups)),
        o(matrix(1, sizes.num_q_heads * sizes.head_dim, sizes.d_model, sizes.out_groups)),
        gate(matrix(sizes.experts, sizes.d_model, sizes.d_ff, 1)),
        up(matrix(sizes.experts, sizes.d_model, sizes.d_ff, sizes.up_groups)),
        down(matrix(sizes.experts, sizes.d_ff, sizes.d_model, sizes.down_groups)),
        views{q.view(), k.view(), v.view(), o.view(), gate.view(), up.view(), down.view()} {}

  static MadeUpMatrix matrix(int num_experts, int d_in, int d_out, int num_groups) {
    return {std::uint64_t(num_experts), std::uint64_t(d_in), std::uint64_t(d_out), std::uint64_t(num_groups), 1};
  }

  StepSize step() const {
    return {.num_tokens = sizes.num_tokens,
            .num_sequences = 3,
            .num_outputs = sizes.num_outputs,
            .num_positions = sizes.num_positions,
            .num_q_heads = sizes.num_q_heads,
            .num_kv_heads = sizes.num_kv_heads,
            .head_dim = sizes.head_dim,
            .experts_per_token = sizes.experts_per_token,
            .vocab_size = sizes.vocab_size,
            .layers = {&views, 1}};
  }

  Sizes sizes;
  MadeUpMatrix q, k, v, o, gate, up, down;
  LayerViews views;
};

// The layer's weights on the device, and room for the largest step.
struct OnDevice {
  OnDevice(Backend& backend, const Layer& layer)
      : backend(backend),
        sizes(layer.sizes),
        q(backend.load_matrix(layer.q.view())),
        k(backend.load_matrix(layer.k.view())),
        v(backend.load_matrix(layer.v.view())),
        o(backend.load_matrix(layer.o.view())),
        gate(backend.load_matrix(layer.gate.view())),
        up(backend.load_matrix(layer.up.view())),
        down(backend.load_matrix(layer.down.view())),
        x(on_device(backend, random_floats(std::size_t(sizes.num_tokens) * sizes.d_model, 8))),
        query(unwritten(backend, std::size_t(sizes.num_tokens) * sizes.num_q_heads * sizes.head_dim)),
        out(unwritten(backend, std::size_t(sizes.num_tokens) * sizes.d_model)),
        gates(on_device(backend, std::vector<float>(std::size_t(sizes.num_tokens) * sizes.experts_per_token, 0.5f))),
        logits(on_device(backend, random_floats(std::size_t(sizes.num_tokens) * sizes.vocab_size, 9))),
        chosen(on_device(backend, std::vector<float>(std::size_t(sizes.num_tokens) * sizes.experts_per_token, 0.0f))) {
    const std::size_t page_bytes =
        backend.footprint().kv_page_bytes(KvCacheType::f32, sizes.num_kv_heads, sizes.head_dim);
    keys = on_device(backend, std::vector<float>(3 * sizes.pages_each() * page_bytes / sizeof(float), 0.1f));
    values = on_device(backend, std::vector<float>(3 * sizes.pages_each() * page_bytes / sizeof(float), 0.1f));
  }

  // All operations that use scratch, for tokens of the last positions that there are.
  void run(int num_tokens, int num_outputs) {
    std::vector<std::int32_t> tokens(num_tokens), positions(num_tokens), sequences(num_tokens), pages(3 * sizes.pages_each()),
        output_rows(num_outputs);
    std::iota(pages.begin(), pages.end(), 0);
    for (int token = 0; token < num_tokens; ++token) {
      positions[token] = sizes.num_positions - 1 - token / 3;
      sequences[token] = token % 3;
    }
    const Batch batch = backend.stage({.tokens = tokens.data(),
                                       .positions = positions.data(),
                                       .sequences = sequences.data(),
                                       .page_tables = pages.data(),
                                       .output_rows = output_rows.data(),
                                       .num_tokens = num_tokens,
                                       .num_sequences = 3,
                                       .max_pages = sizes.pages_each(),
                                       .num_outputs = num_outputs});
    const KvPages kv{keys->as<std::byte>(), values->as<std::byte>(), KvCacheType::f32};
    backend.qkv({.q = query->as<float>(),
                 .kv = kv,
                 .x = x->as<float>(),
                 .w_q = q.get(),
                 .w_k = k.get(),
                 .w_v = v.get(),
                 .batch = &batch,
                 .num_q_heads = sizes.num_q_heads,
                 .num_kv_heads = sizes.num_kv_heads,
                 .head_dim = sizes.head_dim,
                 .rope_base = 10000});
    backend.attention({.out = query->as<float>(),
                       .q = query->as<float>(),
                       .kv = kv,
                       .batch = &batch,
                       .num_q_heads = sizes.num_q_heads,
                       .num_kv_heads = sizes.num_kv_heads,
                       .head_dim = sizes.head_dim,
                       .scale = 0.1f,
                       .cap = 30});
    backend.attention_out({.out = out->as<float>(), .x = query->as<float>(), .w = o.get(), .num_tokens = num_tokens});
    backend.experts({.out = out->as<float>(),
                     .x = x->as<float>(),
                     .experts = chosen->as<std::int32_t>(),
                     .gates = gates->as<float>(),
                     .w_gate = gate.get(),
                     .w_up = up.get(),
                     .w_down = down.get(),
                     .num_tokens = num_tokens,
                     .experts_per_token = sizes.experts_per_token});
    std::vector<TokenBias> bias;
    for (int token = 0; token < sizes.vocab_size; ++token) bias.push_back({token, 0.25f});
    const SampleRow row{.temperature = 1, .uniform = 0.5f, .num_logprobs = sizes.num_logprobs, .bias = bias};
    const std::vector<SampleRow> rows(std::size_t(num_outputs), row);
    std::vector<SampledToken> sampled(rows.size());
    backend.sample({.out = sampled.data(),
                    .logits = logits->as<float>(),
                    .rows = rows.data(),
                    .num_rows = num_outputs,
                    .vocab_size = sizes.vocab_size});
  }

  Backend& backend;
  const Sizes sizes;
  MatrixPtr q, k, v, o, gate, up, down;
  BufferPtr x, query, out, gates, logits, chosen, keys, values;
};

// An error, which nothing may meet, for whoever asks the device for memory.
void refuse_memory() { emulator::fail("cudaMalloc", cudaErrorMemoryAllocation); }

}  // namespace

TEST("says what a step takes without a device") {
  const Restore restore;
  emulator::settings().num_devices = 0;
  const auto footprint = make_cuda_footprint({});
  const Layer layer({});
  CHECK(footprint->scratch_bytes(layer.step()) > 0);
  CHECK_EQ(footprint->matrix_bytes(layer.views.w_q), 32u * 16 + 16 * 4);
  CHECK_EQ(footprint->memory_name(), "GPU memory");
  CHECK_ERROR(make_cuda_footprint({.num_digits = 4}), ErrorCode::invalid_argument, "2 or 3, found 4");
}

TEST("scratch that was reserved is what was said, and steps of that size and smaller ones take no more") {
  const Restore restore;
  for (const Sizes& sizes :
       {kMostForExperts, kMostForQkv, kMostForAttentionOut, kMostForAttention, kMostForSampling})
    for (const int num_digits : {2, 3}) {
      const Layer layer(sizes);
      const auto backend = make_cuda_backend({.num_digits = num_digits});
      const std::size_t before = emulator::allocated_bytes();
      backend->reserve_scratch(layer.step());
      CHECK_EQ(emulator::allocated_bytes() - before, backend->footprint().scratch_bytes(layer.step()));

      OnDevice on_device(*backend, layer);
      refuse_memory();
      for (const int num_tokens : {1, 5, 9, 17, 70})
        if (num_tokens <= sizes.num_tokens)
          on_device.run(num_tokens, num_tokens == sizes.num_tokens ? sizes.num_outputs : 1);
      CHECK_ERROR(backend->allocate(1), ErrorCode::out_of_memory, "refused");  // the first to ask
    }
}

TEST("more rows than are sampled at once take no more than those") {
  const Restore restore;
  const Layer layer({.num_tokens = 200, .num_outputs = 200, .d_model = 1});
  const auto backend = make_cuda_backend({});
  OnDevice on_device(*backend, layer);
  backend->reserve_scratch(layer.step());
  refuse_memory();
  on_device.run(200, 200);
  CHECK_ERROR(backend->allocate(1), ErrorCode::out_of_memory, "refused");
}

TEST("loading takes no more than what stays, and the scratch that was reserved") {
  const Restore restore;
  const Layer layer({.num_tokens = 1, .d_model = 1000, .d_ff = 70});
  const auto backend = make_cuda_backend({});
  backend->reserve_scratch(layer.step());
  emulator::settings().memory_bytes =
      emulator::allocated_bytes() + std::size_t(backend->footprint().matrix_bytes(layer.views.w_up));
  const MatrixPtr matrix = backend->load_matrix(layer.views.w_up);
  CHECK_ERROR(backend->allocate(1), ErrorCode::out_of_memory, "refused");
}

TEST("an engine takes what its plan says and its steps nothing") {
  const Restore restore;
  GrokConfig config;
  config.vocab_size = 64;
  config.context_length = 192;
  config.d_model = 64;
  config.num_layers = 2;
  config.num_q_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 16;
  config.d_ff = 64;
  config.num_experts = 4;
  EngineOptions options;
  options.max_sequences = 3;
  options.prefill_chunk = 80;
  const Limits limits = limits_for(config, options);

  auto backend = make_cuda_backend({});
  auto source = make_synthetic_source(config, 1);
  Weights unloaded;
  const Planned planned{.config = config,
                        .weights = bind_weights(config, *source, backend->footprint(), unloaded),
                        .layers = layer_views(config, *source),
                        .footprint = backend->footprint()};
  Inspection inspection;
  inspection.config = config;
  inspection.memory = plan_memory(planned, limits);
  const MemoryPlan plan = inspection.memory;

  const std::size_t before = emulator::allocated_bytes();
  DeviceEngine engine(std::move(backend), std::move(source), std::move(inspection), limits);
  while (!engine.load_next().done) continue;
  CHECK_EQ(emulator::allocated_bytes() - before, plan.total() - plan.reserve);

  refuse_memory();
  std::vector<SequenceId> ids;
  for (int index = 0; index < 3; ++index) {
    SequenceRequest request;
    for (int token = 0; token < 190; ++token) request.prompt.push_back((token * 7 + index) % config.vocab_size);
    request.max_tokens = 2;
    request.sampling.temperature = 1;
    request.sampling.num_logprobs = config.vocab_size;
    ids.push_back(engine.submit(request));
  }
  int num_finished = 0;
  for (int step = 0; step < 40 && num_finished < 3; ++step)
    for (const SequenceOutput& output : engine.step(ids)) num_finished += output.finish != Finish::no;
  CHECK_EQ(num_finished, 3);
}

TEST_MAIN()
