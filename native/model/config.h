#pragma once

#include <cstdint>

// The glossary. Shapes elsewhere use these names.
//
//   ours                          xai-org/grok-1
//   d_model                       emb_size, model_size
//   head_dim                      key_size
//   d_ff                          ffn_size(emb_size, widening_factor)
//   num_experts, experts_per_token  num_experts, num_selected_experts
//   attn_logit_scale              attn_output_multiplier (a misleading name: it multiplies q k)
//   attn_logit_cap                max_attn_val
//   embedding_scale, logit_scale  embedding_multiplier_scale, output_multiplier_scale
//   pre_attn_norm, post_attn_norm, pre_moe_norm, post_moe_norm   rms_norm, rms_norm_1, rms_norm_2, rms_norm_3
//   w_gate, w_up, w_down          moe/linear, moe/linear_v, moe/linear_1
namespace grok::model {

// The defaults are Grok-1's own. Source: run.py
struct GrokConfig {
  int vocab_size = 131072;
  int context_length = 8192;
  int d_model = 6144;
  int num_layers = 64;
  int num_q_heads = 48;
  int num_kv_heads = 8;
  int head_dim = 128;
  int d_ff = 32768;
  int num_experts = 8;
  int experts_per_token = 2;
  double embedding_scale = 78.38367176906169;
  double logit_scale = 0.5773502691896257;
  double attn_logit_scale = 0.08838834764831845;
  double attn_logit_cap = 30.0;
  double rope_base = 10000.0;
  double norm_eps = 1e-5;
  std::int32_t pad_id = 0;
  std::int32_t bos_id = 1;
  std::int32_t eos_id = 2;
};

}  // namespace grok::model
