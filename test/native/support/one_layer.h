#pragma once

#include <numeric>
#include <vector>

#include "backend/backend.h"
#include "support/made_up.h"
#include "support/on_device.h"

// The operations of one layer, one after another on any backend, to test the memory that they need.
namespace grok::testing {

// One layer whose matrices each have their own scale groups, and its step. The sizes decide which operation needs most.
struct Sizes {
  int num_tokens = 70, num_outputs = 2, num_positions = 100;
  int d_model = 16, num_q_heads = 2, num_kv_heads = 1, head_dim = 8, d_ff = 16, experts = 2, experts_per_token = 1;
  int vocab_size = 50;
  int kv_groups = 1, out_groups = 1, up_groups = 1, down_groups = 1;
  int num_logprobs = 1;

  int pages_each() const { return (num_positions + kPageSize - 1) / kPageSize; }
};

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
struct LoadedLayer {
  LoadedLayer(Backend& backend, const Layer& layer)
      : backend(backend),
        sizes(layer.sizes),
        q(backend.load_matrix(layer.q.view())),
        k(backend.load_matrix(layer.k.view())),
        v(backend.load_matrix(layer.v.view())),
        o(backend.load_matrix(layer.o.view())),
        gate(backend.load_matrix(layer.gate.view())),
        up(backend.load_matrix(layer.up.view())),
        down(backend.load_matrix(layer.down.view())),
        table(load_table(backend, layer.sizes)),
        x(on_device(backend, random_floats(std::size_t(sizes.num_tokens) * sizes.d_model, 8))),
        query(unwritten(backend, std::size_t(sizes.num_tokens) * sizes.num_q_heads * sizes.head_dim)),
        out(unwritten(backend, std::size_t(sizes.num_tokens) * sizes.d_model)),
        gates(on_device(backend, std::vector<float>(std::size_t(sizes.num_tokens) * sizes.experts_per_token, 0.5f))),
        logits(unwritten(backend, std::size_t(sizes.num_outputs) * sizes.vocab_size)),
        chosen(on_device(backend, std::vector<float>(std::size_t(sizes.num_tokens) * sizes.experts_per_token, 0.0f))) {
    const std::size_t page_bytes =
        backend.footprint().kv_page_bytes(KvCacheType::f32, sizes.num_kv_heads, sizes.head_dim);
    keys = on_device(backend, std::vector<float>(3 * sizes.pages_each() * page_bytes / sizeof(float), 0.1f));
    values = on_device(backend, std::vector<float>(3 * sizes.pages_each() * page_bytes / sizeof(float), 0.1f));
  }

  static TablePtr load_table(Backend& backend, const Sizes& sizes) {
    const Bytes rows(random_floats(std::size_t(sizes.vocab_size) * sizes.d_model, 10));
    return backend.load_table({DType::f32, {std::uint64_t(sizes.vocab_size), std::uint64_t(sizes.d_model)}, &rows, 0});
  }

  // All operations that use scratch, for tokens of the last positions that there are.
  void run(int num_tokens, int num_outputs) {
    std::vector<std::int32_t> tokens(num_tokens), positions(num_tokens), sequences(num_tokens),
        pages(3 * sizes.pages_each()), output_rows(num_outputs);
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
    backend.logits(
        {.out = logits->as<float>(), .x = x->as<float>(), .table = table.get(), .batch = &batch, .scale = 1});
    std::vector<TokenBias> bias;
    for (int token = 0; token < sizes.vocab_size; ++token) bias.push_back({token, 0.25f});
    const SampleRow row{
        .params = {.temperature = 1, .num_logprobs = sizes.num_logprobs}, .uniform = 0.5f, .bias = bias};
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
  TablePtr table;
  BufferPtr x, query, out, gates, logits, chosen, keys, values;
};

}  // namespace grok::testing
