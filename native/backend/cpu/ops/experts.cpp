#include <algorithm>
#include <cstring>

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

  // gelu(gate(x)) * up(x), one block at a time.
  std::vector<ProductWork> work;
  for (const Panels& of_group : x) work.push_back({.matrix = &w_gate, .x = &of_group, .num_matrices = 2});
  for_each_block(work, pool_, [&](const ProductBlock& block) {
    const int expert = groups[block.product].expert;
    const Panels& of_group = x[block.product];
    float *const gate = block_out(0), *const up = block_out(1);
    multiply_block(w_gate, expert, of_group, block, gate, kernels_);
    multiply_block(w_up, expert, of_group, block, up, kernels_);
    for (int strip = block.first_strip; strip < block.first_strip + block.num_strips; ++strip) {
      const int num_columns = std::min(kStrip, d_ff - strip * kStrip);
      for (int panel = block.first_panel; panel < block.first_panel + block.num_panels; ++panel) {
        float* const tile = tile_of(gate, block, strip, panel);
        const int num_rows = of_group.rows_of(panel);
        kernels_.gated_gelu(tile, tile_of(up, block, strip, panel), std::size_t(num_rows) * kStrip);
        for (int row = 0; row < num_rows; ++row)
          std::memcpy(
              hidden[block.product] + std::size_t(panel * kPanelTokens + row) * d_ff + std::size_t(strip) * kStrip,
              tile + row * kStrip, num_columns * sizeof(float));
      }
    }
  });

  const std::vector<Panels> packed_hidden =
      Panels::of_each(hidden_rows, d_ff, w_down.num_groups, kernels_, scratch_, pool_);
  std::vector<Product> products;
  for (std::size_t g = 0; g < groups.size(); ++g)
    products.push_back({.matrix = &w_down, .expert = groups[g].expert, .x = &packed_hidden[g], .out = down[g]});
  multiply(products, kernels_, pool_);

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
