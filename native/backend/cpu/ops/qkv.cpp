#include <algorithm>
#include <cmath>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/layout/kv_page.h"
#include "backend/cpu/ops/matmul.h"
#include "backend/cpu/ops/tasks.h"

namespace grok::cpu {
namespace {

// Appends positions to [positions, head_dim / 2, 2] cosines and sines until it holds num_positions. The angles are
// double: in float32, as in the reference, the error is up to 1e-3 at position 8191.
void extend_rotation(std::vector<float>& rotation, int num_positions, int head_dim, double rope_base) {
  for (int position = int(rotation.size()) / head_dim; position < num_positions; ++position)
    for (int i = 0; i < head_dim / 2; ++i) {
      const double angle = position * std::pow(rope_base, -2.0 * i / head_dim);
      rotation.push_back(float(std::cos(angle)));
      rotation.push_back(float(std::sin(angle)));
    }
}

// Source: xai-org/grok-1 model.py:RotaryEmbedding, rotate_half
void rotate(float* head, const float* rotation, int head_dim) {
  const int half = head_dim / 2;
  for (int i = 0; i < half; ++i) {
    const float cosine = rotation[2 * i], sine = rotation[2 * i + 1];
    const float a = head[i], b = head[i + half];
    head[i] = a * cosine - b * sine;
    head[i + half] = b * cosine + a * sine;
  }
}

// Tokens that one task writes to the cache: those of a group of keys, which share cache lines.
constexpr int kTokensPerTask = kKeyGroup;

}  // namespace

void CpuBackend::qkv(const Qkv& op) {
  const Batch& batch = *op.batch;
  const auto& w_q = static_cast<const CpuMatrix&>(*op.w_q);
  const auto& w_k = static_cast<const CpuMatrix&>(*op.w_k);
  const auto& w_v = static_cast<const CpuMatrix&>(*op.w_v);
  const std::size_t kv_dim = std::size_t(op.num_kv_heads) * op.head_dim;
  scratch_.clear();
  float* const keys = scratch_.floats(batch.num_tokens * kv_dim);    // [num_tokens, num_kv_heads, head_dim]
  float* const values = scratch_.floats(batch.num_tokens * kv_dim);  // [num_tokens, num_kv_heads, head_dim]

  // One packing serves all three matrices, unless their scale groups differ in the checkpoint.
  const auto pack_for = [&](const CpuMatrix& w) {
    return Panels(op.x, batch.num_tokens, w.d_in, w.num_groups, kernels_, scratch_, pool_);
  };
  const Panels x = pack_for(w_q);
  const Panels x_k = w_k.num_groups == w_q.num_groups ? x : pack_for(w_k);
  const Panels x_v = w_v.num_groups == w_q.num_groups ? x : pack_for(w_v);
  const Product products[] = {{.matrices = {{.matrix = &w_q}}, .x = &x, .out = op.q},
                              {.matrices = {{.matrix = &w_k}}, .x = &x_k, .out = keys},
                              {.matrices = {{.matrix = &w_v}}, .x = &x_v, .out = values}};
  multiply(products, {}, kernels_, pool_);

  const int num_positions = 1 + *std::max_element(batch.positions, batch.positions + batch.num_tokens);
  extend_rotation(rotation_, num_positions, op.head_dim, op.rope_base);

  const auto place = [&](int token) {
    const int position = batch.positions[token];
    const float* rotation = &rotation_[std::size_t(position) * op.head_dim];

    float* q = op.q + std::size_t(token) * op.num_q_heads * op.head_dim;
    for (int head = 0; head < op.num_q_heads; ++head)
      rotate(q + std::size_t(head) * op.head_dim, rotation, op.head_dim);

    const std::int32_t page =
        batch.page_tables[std::size_t(batch.sequences[token]) * batch.max_pages + position / kPageSize];
    for (int head = 0; head < op.num_kv_heads; ++head) {
      float* const key = keys + token * kv_dim + std::size_t(head) * op.head_dim;
      const float* value = values + token * kv_dim + std::size_t(head) * op.head_dim;
      rotate(key, rotation, op.head_dim);
      write_kv(op.kv,
               {.page = page,
                .position_in_page = position % kPageSize,
                .head = head,
                .num_heads = op.num_kv_heads,
                .head_dim = op.head_dim},
               key, value);
    }
  };
  const int num_tasks = (batch.num_tokens + kTokensPerTask - 1) / kTokensPerTask;
  const std::size_t values_of_a_token = std::size_t(op.num_q_heads + 2 * op.num_kv_heads) * op.head_dim;
  for_each_task(num_tasks, kTokensPerTask * values_of_a_token, pool_, [&](std::size_t task) {
    const int first = int(task) * kTokensPerTask;
    for (int token = first; token < std::min(first + kTokensPerTask, batch.num_tokens); ++token) place(token);
  });
}

}  // namespace grok::cpu
