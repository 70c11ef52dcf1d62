#include <cmath>
#include <cstring>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/matmul.h"

namespace grok {
namespace {

// Appends positions to [positions, head_dim / 2, 2] cosines and sines until it holds num_positions of them. The angles
// are double: in float32, as the reference has them, they are off by up to 1e-3 at position 8191.
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

}  // namespace

void CpuBackend::qkv(const Qkv& op) {
  const Batch& batch = *op.batch;
  const auto& w_q = static_cast<const PackedMatrix&>(*op.w_q);
  const auto& w_k = static_cast<const PackedMatrix&>(*op.w_k);
  const auto& w_v = static_cast<const PackedMatrix&>(*op.w_v);
  const std::size_t kv_width = std::size_t(op.num_kv_heads) * op.head_dim;
  scratch_.clear();
  float* const keys = scratch_.floats(batch.num_tokens * kv_width);    // [num_tokens, num_kv_heads, head_dim]
  float* const values = scratch_.floats(batch.num_tokens * kv_width);  // [num_tokens, num_kv_heads, head_dim]

  // One packing serves the three, unless a checkpoint gave them different scale groups.
  const auto pack_for = [&](const PackedMatrix& w) {
    return Panels(op.x, batch.num_tokens, w.d_in, w.num_groups, kernels_, scratch_, pool_);
  };
  const Panels x = pack_for(w_q);
  const Panels x_k = w_k.num_groups == w_q.num_groups ? x : pack_for(w_k);
  const Panels x_v = w_v.num_groups == w_q.num_groups ? x : pack_for(w_v);
  const Product products[] = {{.matrix = &w_q, .x = &x, .out = op.q},
                              {.matrix = &w_k, .x = &x_k, .out = keys},
                              {.matrix = &w_v, .x = &x_v, .out = values}};
  multiply(products, kernels_, pool_);

  for (int token = 0; token < batch.num_tokens; ++token) {
    const int position = batch.positions[token];
    extend_rotation(rotation_, position + 1, op.head_dim, op.rope_base);
    const float* rotation = &rotation_[std::size_t(position) * op.head_dim];

    float* q = op.q + std::size_t(token) * op.num_q_heads * op.head_dim;
    for (int head = 0; head < op.num_q_heads; ++head)
      rotate(q + std::size_t(head) * op.head_dim, rotation, op.head_dim);

    const std::int32_t page =
        batch.page_tables[std::size_t(batch.sequences[token]) * batch.max_pages + position / kPageSize];
    for (int head = 0; head < op.num_kv_heads; ++head) {
      const std::size_t from = token * kv_width + std::size_t(head) * op.head_dim;
      const std::size_t to =
          ((std::size_t(page) * op.num_kv_heads + head) * kPageSize + position % kPageSize) * op.head_dim;
      rotate(keys + from, rotation, op.head_dim);
      std::memcpy(op.kv.keys + to, keys + from, op.head_dim * sizeof(float));
      std::memcpy(op.kv.values + to, values + from, op.head_dim * sizeof(float));
    }
  }
}

}  // namespace grok
