#include "model/param.h"

#include "core/error.h"

namespace grok::model {

std::vector<ParamId> all_params(int num_layers) {
  std::vector<ParamId> ids;
  for (int layer = -1; layer < num_layers; ++layer)
    for (int number = 0; number < kNumParams; ++number)
      if (is_of_layer(Param(number)) == (layer >= 0)) ids.push_back({Param(number), layer});
  return ids;
}

Shape shape_of(Param param, const GrokConfig& config) {
  const auto vocab_size = std::uint64_t(config.vocab_size);
  const auto d_model = std::uint64_t(config.d_model);
  const auto d_ff = std::uint64_t(config.d_ff);
  const auto num_experts = std::uint64_t(config.num_experts);
  const std::uint64_t q_width = checked_mul(std::uint64_t(config.num_q_heads), std::uint64_t(config.head_dim));
  const std::uint64_t kv_width = checked_mul(std::uint64_t(config.num_kv_heads), std::uint64_t(config.head_dim));

  switch (param) {
    case Param::embedding: return {vocab_size, d_model};
    case Param::w_q: return {d_model, q_width};
    case Param::w_k:
    case Param::w_v: return {d_model, kv_width};
    case Param::w_o: return {q_width, d_model};
    case Param::w_gate:
    case Param::w_up: return {num_experts, d_model, d_ff};
    case Param::w_down: return {num_experts, d_ff, d_model};
    case Param::router: return {d_model, num_experts};
    case Param::final_norm:
    case Param::pre_attn_norm:
    case Param::post_attn_norm:
    case Param::pre_moe_norm:
    case Param::post_moe_norm: return {d_model};
  }
  throw Error(ErrorCode::internal, "a parameter without a shape");
}

}  // namespace grok::model
