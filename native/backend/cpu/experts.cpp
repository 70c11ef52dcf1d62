#include <algorithm>
#include <numeric>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/matmul.h"

namespace grok {
namespace {

// The (token, rank) pairs that chose one expert.
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

// Tokens are gathered by expert, so that each expert's weights are read once however many tokens chose it.
void CpuBackend::experts(const Experts& op) {
  const auto& w_gate = static_cast<const PackedMatrix&>(*op.w_gate);
  const auto& w_up = static_cast<const PackedMatrix&>(*op.w_up);
  const auto& w_down = static_cast<const PackedMatrix&>(*op.w_down);
  const int d_model = w_gate.d_in, d_ff = w_gate.d_out;
  const std::vector<Group> groups = group_by_expert(op, w_gate.num_experts);

  std::vector<Panels> x, hidden;
  std::vector<float*> down;  // [slots of the group, d_model]
  std::size_t most_slots = 0;
  scratch_.clear();
  for (const Group& group : groups) {
    std::vector<const float*> rows;
    for (const int slot : group.slots) rows.push_back(op.x + std::size_t(slot / op.experts_per_token) * d_model);
    x.push_back(pack_rows(rows, d_model, scratch_, pool_));
    hidden.emplace_back(int(rows.size()), d_ff, scratch_);
    down.push_back(scratch_.floats(rows.size() * d_model));
    most_slots = std::max(most_slots, rows.size());
  }

  // gelu(gate(x)) * up(x), strip by strip, left in panels for the product that follows.
  const std::size_t num_strips = w_gate.num_strips;
  for_each_task(groups.size() * num_strips, 2 * std::size_t(d_model) * kStrip * most_slots, pool_,
                [&](std::size_t task) {
                  const std::size_t g = task / num_strips;
                  const int strip = int(task % num_strips);
                  const int num_columns = std::min(kStrip, d_ff - strip * kStrip);
                  for (int panel = 0; panel < x[g].num_panels(); ++panel) {
                    alignas(64) float gate[kPanelTokens * kStrip], up[kPanelTokens * kStrip];  // [rows, kStrip]
                    strip_times_panel(w_gate, groups[g].expert, strip, x[g], panel, gate, kernels_);
                    strip_times_panel(w_up, groups[g].expert, strip, x[g], panel, up, kernels_);
                    const int num_rows = x[g].rows_of(panel);
                    kernels_.gated_gelu(gate, up, std::size_t(num_rows) * kStrip);
                    float* out = hidden[g].panel(panel) + std::size_t(strip) * kStrip * num_rows;
                    for (int row = 0; row < num_rows; ++row)
                      for (int column = 0; column < num_columns; ++column)
                        out[column * num_rows + row] = gate[row * kStrip + column];
                  }
                });

  std::vector<Product> products;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    products.push_back({.matrix = &w_down, .expert = groups[g].expert, .x = &hidden[g], .out = down[g]});
  }
  multiply(products, kernels_, pool_);

  // Sum over a token's experts, best first, whatever order the groups have: a token's result is the same in any batch.
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

}  // namespace grok
