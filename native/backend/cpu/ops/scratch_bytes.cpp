#include <algorithm>

#include "backend/cpu/footprint.h"
#include "backend/cpu/layout/scratch.h"
#include "backend/cpu/ops/attention.h"
#include "backend/cpu/ops/matmul.h"
#include "backend/cpu/ops/panels.h"

namespace grok::cpu {

// Each sum counts the Scratch allocations of the operation of that name.
std::uint64_t CpuFootprint::operation_bytes(const StepSize& largest) const {
  const std::uint64_t num_tokens = largest.num_tokens, num_slots = num_tokens * largest.experts_per_token;
  const auto panels = [&](std::uint64_t num_rows, int width, int num_groups) {
    return Panels::size_bytes(num_rows, width, num_groups, kernels_);
  };

  std::uint64_t most = attention_scratch_bytes(largest, num_threads_);
  for (const LayerViews& layer : largest.layers) {
    const Linear &q = layer.w_q, &k = layer.w_k, &v = layer.w_v, &o = layer.w_o, &gate = layer.w_gate,
                 &down = layer.w_down;
    std::uint64_t qkv = panels(num_tokens, q.d_in, q.num_groups) +
                        Scratch::size_bytes(num_tokens * k.d_out * sizeof(float)) +
                        Scratch::size_bytes(num_tokens * v.d_out * sizeof(float));
    if (k.num_groups != q.num_groups) qkv += panels(num_tokens, k.d_in, k.num_groups);
    if (v.num_groups != q.num_groups) qkv += panels(num_tokens, v.d_in, v.num_groups);

    // For any distribution of the slots over experts: each expert may need one more padding.
    const std::uint64_t num_groups = std::min<std::uint64_t>(gate.num_experts, num_slots);
    const std::uint64_t experts =
        panels(num_slots, gate.d_in, gate.num_groups) + panels(num_slots, down.d_in, down.num_groups) +
        Scratch::size_bytes(num_slots * gate.d_out * sizeof(float)) +
        Scratch::size_bytes(num_slots * down.d_out * sizeof(float)) + 6 * num_groups * Scratch::kAlignment;
    most = std::max(
        {most, qkv, experts, panels(num_tokens, o.d_in, o.num_groups), panels(largest.num_outputs, gate.d_in, 1)});
  }
  return most;
}

std::uint64_t CpuFootprint::scratch_bytes(const StepSize& largest) const {
  const std::uint64_t of_a_thread = thread_scratch_bytes(kernels_, weights_ == WeightStorage::mapped);
  const std::uint64_t rotation = std::uint64_t(largest.num_positions) * largest.head_dim * sizeof(float);
  return operation_bytes(largest) + num_threads_ * of_a_thread + rotation;
}

}  // namespace grok::cpu
