#include <algorithm>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/ops/matmul.h"

namespace grok::cpu {
namespace {

// The (token, rank) pairs routed to one expert.
struct Group {
  int expert;
  std::vector<int> slots;  // token * experts_per_token + rank, ascending
};

std::vector<Group> group_by_expert(const Experts& op, int num_experts) {
  std::vector<Group> groups(num_experts);
  for (int expert = 0; expert < num_experts; ++expert) groups[expert].expert = expert;
  for (int slot = 0; slot < op.num_tokens * op.experts_per_token; ++slot)
    groups[op.experts[slot]].slots.push_back(slot);
  std::erase_if(groups, [](const Group& group) { return group.slots.empty(); });
  return groups;
}

}  // namespace

// Tokens are grouped by expert, so that each expert's weights are read once for all of its tokens.
void CpuBackend::experts(const Experts& op) {
  const auto& w_gate = static_cast<const CpuMatrix&>(*op.w_gate);
  const auto& w_up = static_cast<const CpuMatrix&>(*op.w_up);
  const auto& w_down = static_cast<const CpuMatrix&>(*op.w_down);
  const int d_model = w_gate.d_in, d_ff = w_gate.d_out;
  const std::vector<Group> groups = group_by_expert(op, w_gate.num_experts);

  scratch_.clear();
  std::vector<std::vector<const float*>> x_rows(groups.size()), hidden_rows(groups.size());
  std::vector<float*> hidden, down;  // [slots of the group, d_ff] and [slots of the group, d_model]
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const std::vector<int>& slots = groups[g].slots;
    hidden.push_back(scratch_.floats(slots.size() * d_ff));
    down.push_back(scratch_.floats(slots.size() * d_model));
    for (std::size_t i = 0; i < slots.size(); ++i) {
      x_rows[g].push_back(op.x + std::size_t(slots[i] / op.experts_per_token) * d_model);
      hidden_rows[g].push_back(hidden[g] + i * d_ff);
    }
  }
  const std::vector<Panels> x = Panels::of_each(x_rows, d_model, w_gate.num_groups, kernels_, scratch_, pool_);

  std::vector<Product> products;
  for (std::size_t g = 0; g < groups.size(); ++g)
    products.push_back(
        {.matrices = {{&w_gate, groups[g].expert}, {&w_up, groups[g].expert}}, .x = &x[g], .out = hidden[g]});
  multiply(products, {.kind = Epilogue::Kind::gated_gelu}, kernels_, pool_);

  const std::vector<Panels> packed_hidden =
      Panels::of_each(hidden_rows, d_ff, w_down.num_groups, kernels_, scratch_, pool_);
  products.clear();
  for (std::size_t g = 0; g < groups.size(); ++g)
    products.push_back({.matrices = {{&w_down, groups[g].expert}}, .x = &packed_hidden[g], .out = down[g]});
  multiply(products, {}, kernels_, pool_);

  // Adds a token's experts best first, whatever the order of the groups: so a token's result is the same in any batch.
  std::vector<const float*> of_slot(std::size_t(op.num_tokens) * op.experts_per_token);
  for (std::size_t g = 0; g < groups.size(); ++g)
    for (std::size_t i = 0; i < groups[g].slots.size(); ++i) of_slot[groups[g].slots[i]] = down[g] + i * d_model;
  for (int token = 0; token < op.num_tokens; ++token) {
    float* out = op.out + std::size_t(token) * d_model;
    std::fill_n(out, d_model, 0.0f);
    for (int rank = 0; rank < op.experts_per_token; ++rank) {
      const int slot = token * op.experts_per_token + rank;
      for (int i = 0; i < d_model; ++i) out[i] += op.gates[slot] * of_slot[slot][i];
    }
  }
}

}  // namespace grok::cpu
