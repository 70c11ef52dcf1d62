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

// One layer of odd sizes, whose matrices have scale groups of their own each.
struct Layer {
  static constexpr int kDModel = 96, kHeads = 6, kKvHeads = 2, kHeadDim = 16, kDFf = 160, kExperts = 3, kEach = 2;
  static constexpr int kVocab = 300, kPositions = 700, kPages = 11;
  MadeUpMatrix q{1, kDModel, kHeads * kHeadDim, 1, 1}, k{1, kDModel, kKvHeads * kHeadDim, 3, 2},
      v{1, kDModel, kKvHeads * kHeadDim, 3, 3}, o{1, kHeads * kHeadDim, kDModel, 2, 4};
  MadeUpMatrix gate{kExperts, kDModel, kDFf, 1, 5}, up{kExperts, kDModel, kDFf, 4, 6}, down{kExperts, kDFf, kDModel, 8, 7};

  LayerViews views() const {
    return {q.view(), k.view(), v.view(), o.view(), gate.view(), up.view(), down.view()};
  }
};

StepSize step_of(int num_tokens, int num_outputs, std::span<const LayerViews> layers) {
  return {.num_tokens = num_tokens,
          .num_sequences = 3,
          .num_outputs = num_outputs,
          .num_positions = Layer::kPositions,
          .num_q_heads = Layer::kHeads,
          .num_kv_heads = Layer::kKvHeads,
          .head_dim = Layer::kHeadDim,
          .experts_per_token = Layer::kEach,
          .vocab_size = Layer::kVocab,
          .layers = layers};
}

// The layer's weights on the device, and room for the largest step.
struct OnDevice {
  OnDevice(Backend& backend, const Layer& layer, int most_tokens)
      : backend(backend),
        q(backend.load_matrix(layer.q.view())),
        k(backend.load_matrix(layer.k.view())),
        v(backend.load_matrix(layer.v.view())),
        o(backend.load_matrix(layer.o.view())),
        gate(backend.load_matrix(layer.gate.view())),
        up(backend.load_matrix(layer.up.view())),
        down(backend.load_matrix(layer.down.view())),
        x(on_device(backend, random_floats(std::size_t(most_tokens) * Layer::kDModel, 8))),
        query(unwritten(backend, std::size_t(most_tokens) * Layer::kHeads * Layer::kHeadDim)),
        out(unwritten(backend, std::size_t(most_tokens) * Layer::kDModel)),
        gates(on_device(backend, std::vector<float>(std::size_t(most_tokens) * Layer::kEach, 0.5f))),
        logits(on_device(backend, random_floats(std::size_t(most_tokens) * Layer::kVocab, 9))),
        chosen(on_device(backend, std::vector<float>(std::size_t(most_tokens) * Layer::kEach, 0.0f))) {
    const std::size_t page_bytes =
        backend.footprint().kv_page_bytes(KvCacheType::f32, Layer::kKvHeads, Layer::kHeadDim);
    keys = on_device(backend, std::vector<float>(3 * Layer::kPages * page_bytes / sizeof(float), 0.1f));
    values = on_device(backend, std::vector<float>(3 * Layer::kPages * page_bytes / sizeof(float), 0.1f));
  }

  // All operations that use scratch, for tokens of the last positions that there are.
  void run(int num_tokens, int num_outputs) {
    std::vector<std::int32_t> tokens(num_tokens), positions(num_tokens), sequences(num_tokens), pages(3 * Layer::kPages),
        output_rows(num_outputs);
    std::iota(pages.begin(), pages.end(), 0);
    for (int token = 0; token < num_tokens; ++token) {
      positions[token] = Layer::kPositions - 1 - token / 3;
      sequences[token] = token % 3;
    }
    const Batch batch = backend.stage({.tokens = tokens.data(),
                                       .positions = positions.data(),
                                       .sequences = sequences.data(),
                                       .page_tables = pages.data(),
                                       .output_rows = output_rows.data(),
                                       .num_tokens = num_tokens,
                                       .num_sequences = 3,
                                       .max_pages = Layer::kPages,
                                       .num_outputs = num_outputs});
    const KvPages kv{keys->as<std::byte>(), values->as<std::byte>(), KvCacheType::f32};
    backend.qkv({.q = query->as<float>(),
                 .kv = kv,
                 .x = x->as<float>(),
                 .w_q = q.get(),
                 .w_k = k.get(),
                 .w_v = v.get(),
                 .batch = &batch,
                 .num_q_heads = Layer::kHeads,
                 .num_kv_heads = Layer::kKvHeads,
                 .head_dim = Layer::kHeadDim,
                 .rope_base = 10000});
    backend.attention({.out = query->as<float>(),
                       .q = query->as<float>(),
                       .kv = kv,
                       .batch = &batch,
                       .num_q_heads = Layer::kHeads,
                       .num_kv_heads = Layer::kKvHeads,
                       .head_dim = Layer::kHeadDim,
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
                     .experts_per_token = Layer::kEach});
    std::vector<TokenBias> bias;
    for (int token = 0; token < Layer::kVocab; ++token) bias.push_back({token, 0.25f});
    const SampleRow row{.temperature = 1, .uniform = 0.5f, .num_logprobs = 2, .bias = bias};
    const std::vector<SampleRow> rows(std::size_t(num_outputs), row);
    std::vector<SampledToken> sampled(rows.size());
    backend.sample({.out = sampled.data(),
                    .logits = logits->as<float>(),
                    .rows = rows.data(),
                    .num_rows = num_outputs,
                    .vocab_size = Layer::kVocab});
  }

  Backend& backend;
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
  const Layer layer;
  const LayerViews views = layer.views();
  CHECK(footprint->scratch_bytes(step_of(7, 2, {&views, 1})) > 0);
  CHECK(footprint->matrix_bytes(views.w_q) > 96u * 96);
  CHECK_EQ(footprint->memory_name(), "GPU memory");
  CHECK_ERROR(make_cuda_footprint({.num_digits = 4}), ErrorCode::invalid_argument, "2 or 3, found 4");
}

TEST("scratch that was reserved is what was said, and steps of that size and smaller ones take no more") {
  const Restore restore;
  const Layer layer;
  const LayerViews views = layer.views();
  for (const int num_digits : {2, 3})
    for (const int most_tokens : {5, 70}) {
      const auto backend = make_cuda_backend({.num_digits = num_digits});
      const StepSize largest = step_of(most_tokens, std::min(most_tokens, 66), {&views, 1});
      const std::size_t before = emulator::allocated_bytes();
      backend->reserve_scratch(largest);
      CHECK_EQ(emulator::allocated_bytes() - before, backend->footprint().scratch_bytes(largest));

      OnDevice on_device(*backend, layer, most_tokens);
      refuse_memory();
      for (const int num_tokens : {1, 3, 5, 8, 9, 17, 64, 70})
        if (num_tokens <= most_tokens) on_device.run(num_tokens, num_tokens > 60 ? largest.num_outputs : 1);
      CHECK_ERROR(backend->allocate(1), ErrorCode::out_of_memory, "refused");  // the first to ask
    }
}

TEST("loading takes no more than what stays, and the scratch that was reserved") {
  const Restore restore;
  const MadeUpMatrix made_up(2, 100, 70, 4, 1);
  Layer layer;
  layer.gate = MadeUpMatrix(2, 100, 70, 4, 1);
  const LayerViews views = layer.views();
  const auto backend = make_cuda_backend({});
  backend->reserve_scratch(step_of(1, 1, {&views, 1}));
  emulator::settings().memory_bytes =
      emulator::allocated_bytes() + std::size_t(backend->footprint().matrix_bytes(made_up.view()));
  const MatrixPtr matrix = backend->load_matrix(made_up.view());
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
