#include <algorithm>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/matmul.h"

namespace grok {

// One task per (token, kv head): the query heads that share a kv head read its pages together.
void CpuBackend::attention(const Attention& op) {
  const Batch& batch = *op.batch;
  const int heads_per_kv = op.num_q_heads / op.num_kv_heads;
  const int longest = 1 + *std::max_element(batch.positions, batch.positions + batch.num_tokens);
  const std::size_t num_tasks = std::size_t(batch.num_tokens) * op.num_kv_heads;

  for_each_task(num_tasks, 2 * std::size_t(longest) * heads_per_kv * op.head_dim, pool_, [&](std::size_t task) {
    const int token = int(task / op.num_kv_heads), kv_head = int(task % op.num_kv_heads);
    const std::size_t first_head = std::size_t(token) * op.num_q_heads + std::size_t(kv_head) * heads_per_kv;
    const std::int32_t* pages = batch.page_tables + std::size_t(batch.sequences[token]) * batch.max_pages;
    const int num_positions = batch.positions[token] + 1;
    float* out = op.out + first_head * op.head_dim;

    std::vector<float> weight_sums(heads_per_kv);
    std::fill_n(out, std::size_t(heads_per_kv) * op.head_dim, 0.0f);
    for (int start = 0; start < num_positions; start += kPageSize) {
      const std::size_t offset =
          (std::size_t(pages[start / kPageSize]) * op.num_kv_heads + kv_head) * kPageSize * op.head_dim;
      kernels_.page_attention({.out = out,
                               .weight_sums = weight_sums.data(),
                               .q = op.q + first_head * op.head_dim,
                               .keys = op.kv.keys + offset,
                               .values = op.kv.values + offset,
                               .num_heads = heads_per_kv,
                               .num_positions = std::min(kPageSize, num_positions - start),
                               .head_dim = op.head_dim,
                               .scale = op.scale,
                               .cap = op.cap});
    }
    for (int head = 0; head < heads_per_kv; ++head)
      for (int i = 0; i < op.head_dim; ++i) out[std::size_t(head) * op.head_dim + i] /= weight_sums[head];
  });
}

}  // namespace grok
