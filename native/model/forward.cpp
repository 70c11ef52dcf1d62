#include "model/forward.h"

#include "core/checked.h"

namespace grok::model {
namespace {

// The number of rows depends on options.
std::size_t bytes_of(std::uint64_t rows, std::uint64_t width) {
  constexpr ErrorCode kCode = ErrorCode::out_of_memory;
  return checked_mul(checked_mul(rows, width, kCode), sizeof(float), kCode);
}

// The matrices that multiply normed rows have one scale group.
QuantizedShape normed_shape(const GrokConfig& config, const StepSize& largest) {
  return {.num_rows = largest.num_tokens, .width = config.d_model};
}

// Layers are alike: a layer with other scale groups than the first quantizes again.
QuantizedShape attended_shape(const GrokConfig& config, const StepSize& largest) {
  return {.num_rows = largest.num_tokens,
          .width = config.num_q_heads * config.head_dim,
          .num_groups = largest.layers.empty() ? 1 : largest.layers.front().w_o.num_groups};
}

}  // namespace

Workspace::Workspace(Backend& backend, const GrokConfig& config, const StepSize& largest) {
  const auto rows_of = [&](std::uint64_t width) { return backend.allocate(bytes_of(largest.num_tokens, width)); };
  residual = rows_of(config.d_model);
  normed = rows_of(config.d_model);
  projected = rows_of(config.d_model);
  q = rows_of(std::uint64_t(config.num_q_heads) * config.head_dim);
  attended = rows_of(std::uint64_t(config.num_q_heads) * config.head_dim);
  normed_quantized = backend.allocate_quantized(normed_shape(config, largest));
  attended_quantized = backend.allocate_quantized(attended_shape(config, largest));
  router_logits = rows_of(config.num_experts);
  experts = rows_of(config.experts_per_token);
  gates = rows_of(config.experts_per_token);
  logits = backend.allocate(bytes_of(largest.num_outputs, config.vocab_size));
}

std::uint64_t Workspace::size_bytes(const Footprint& footprint, const GrokConfig& config, const StepSize& largest) {
  constexpr ErrorCode kCode = ErrorCode::out_of_memory;
  const std::uint64_t width = 3 * std::uint64_t(config.d_model) +
                              2 * std::uint64_t(config.num_q_heads) * config.head_dim + config.num_experts +
                              2 * std::uint64_t(config.experts_per_token);
  const std::uint64_t floats =
      checked_add(bytes_of(largest.num_tokens, width), bytes_of(largest.num_outputs, config.vocab_size), kCode);
  const std::uint64_t quantized = checked_add(footprint.quantized_bytes(normed_shape(config, largest)),
                                              footprint.quantized_bytes(attended_shape(config, largest)), kCode);
  return checked_add(floats, quantized, kCode);
}

void forward(const GrokConfig& config, const Weights& weights, const Batch& batch,
             const std::vector<KvPages>& kv_layers, Workspace& workspace, Backend& backend,
             const ForwardOptions& options) {
  const int num_tokens = batch.num_tokens, d_model = config.d_model;
  const float eps = float(config.norm_eps);
  float* const residual = workspace.residual->as<float>();
  float* const normed = workspace.normed->as<float>();
  float* const projected = workspace.projected->as<float>();
  float* const q = workspace.q->as<float>();
  float* const attended = workspace.attended->as<float>();
  QuantizedRows* const normed_quantized = workspace.normed_quantized.get();
  QuantizedRows* const attended_quantized = workspace.attended_quantized.get();
  float* const router_logits = workspace.router_logits->as<float>();
  std::int32_t* const experts = workspace.experts->as<std::int32_t>();
  float* const gates = workspace.gates->as<float>();

  const auto observe = [&](const char* name, int layer, const float* values, int width) {
    if (options.observer) options.observer(name, layer, values, num_tokens, width);
  };

  // xAI's code multiplies bf16 values by these, and rounds the multipliers themselves to bf16: 78.5 and 0.578125 for
  // Grok-1.
  const float embedding_scale = round_to_bf16(float(config.embedding_scale));
  const float logit_scale = round_to_bf16(float(config.logit_scale));

  backend.embed({.out = residual, .table = weights.embedding.get(), .batch = &batch, .scale = embedding_scale});
  observe("embed", -1, residual, d_model);
  backend.norm({.out = normed,
                .out_quantized = normed_quantized,
                .x = residual,
                .weight = weights.vector(Param::pre_attn_norm, 0),
                .num_tokens = num_tokens,
                .d_model = d_model,
                .eps = eps});

  for (int l = 0; l < config.num_layers; ++l) {
    if (options.should_stop && options.should_stop())
      throw Error(ErrorCode::cancelled, concat("stopped before layer ", l, " of ", config.num_layers));
    const float* next_norm =
        l + 1 < config.num_layers ? weights.vector(Param::pre_attn_norm, l + 1) : weights.vector(Param::final_norm);

    backend.qkv({.q = q,
                 .kv = kv_layers[l],
                 .x = normed,
                 .x_quantized = normed_quantized,
                 .w_q = weights.matrix(Param::w_q, l),
                 .w_k = weights.matrix(Param::w_k, l),
                 .w_v = weights.matrix(Param::w_v, l),
                 .batch = &batch,
                 .num_q_heads = config.num_q_heads,
                 .num_kv_heads = config.num_kv_heads,
                 .head_dim = config.head_dim,
                 .rope_base = float(config.rope_base)});
    backend.attention({.out = attended,
                       .out_quantized = attended_quantized,
                       .q = q,
                       .kv = kv_layers[l],
                       .batch = &batch,
                       .num_q_heads = config.num_q_heads,
                       .num_kv_heads = config.num_kv_heads,
                       .head_dim = config.head_dim,
                       .scale = float(config.attn_logit_scale),
                       .cap = float(config.attn_logit_cap)});
    backend.attention_out({.out = projected,
                           .x = attended,
                           .x_quantized = attended_quantized,
                           .w = weights.matrix(Param::w_o, l),
                           .num_tokens = num_tokens});
    observe("attn_out", l, projected, d_model);
    backend.add_norm({.residual = residual,
                      .out = normed,
                      .out_quantized = normed_quantized,
                      .y = projected,
                      .post_weight = weights.vector(Param::post_attn_norm, l),
                      .pre_weight = weights.vector(Param::pre_moe_norm, l),
                      .num_tokens = num_tokens,
                      .d_model = d_model,
                      .eps = eps});

    backend.route({.experts = experts,
                   .gates = gates,
                   .logits = router_logits,
                   .x = normed,
                   .router = weights.vector(Param::router, l),
                   .num_tokens = num_tokens,
                   .d_model = d_model,
                   .num_experts = config.num_experts,
                   .experts_per_token = config.experts_per_token});
    observe("router_logits", l, router_logits, config.num_experts);
    backend.experts({.out = projected,
                     .x = normed,
                     .x_quantized = normed_quantized,
                     .experts = experts,
                     .gates = gates,
                     .w_gate = weights.matrix(Param::w_gate, l),
                     .w_up = weights.matrix(Param::w_up, l),
                     .w_down = weights.matrix(Param::w_down, l),
                     .num_tokens = num_tokens,
                     .experts_per_token = config.experts_per_token});
    observe("moe_out", l, projected, d_model);
    backend.add_norm({.residual = residual,
                      .out = normed,
                      .out_quantized = normed_quantized,
                      .y = projected,
                      .post_weight = weights.vector(Param::post_moe_norm, l),
                      .pre_weight = next_norm,
                      .num_tokens = num_tokens,
                      .d_model = d_model,
                      .eps = eps});
    observe("hidden", l, residual, d_model);
  }
  observe("final_norm", -1, normed, d_model);

  if (batch.num_outputs > 0)
    backend.logits({.out = workspace.logits->as<float>(),
                    .x = normed,
                    .x_quantized = normed_quantized,
                    .table = weights.embedding.get(),
                    .batch = &batch,
                    .scale = logit_scale});
}

}  // namespace grok::model
