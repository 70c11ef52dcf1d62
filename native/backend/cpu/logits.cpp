#include <algorithm>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/matmul.h"

namespace grok {

// Rows of the table are shared out in blocks; each row is read once for all outputs.
void CpuBackend::logits(const Logits& op) {
  const auto& table = static_cast<const CpuTable&>(*op.table);
  const Batch& batch = *op.batch;
  constexpr int kBlock = 64;
  const int num_blocks = (table.vocab_size + kBlock - 1) / kBlock;

  for_each_task(num_blocks, std::size_t(kBlock) * table.d_model * batch.num_outputs, pool_, [&](std::size_t block) {
    const int first = int(block) * kBlock, last = std::min(first + kBlock, table.vocab_size);
    for (int token = first; token < last; ++token)
      for (int output = 0; output < batch.num_outputs; ++output) {
        const float* x = op.x + std::size_t(batch.output_rows[output]) * table.d_model;
        op.out[std::size_t(output) * table.vocab_size + token] =
            op.scale * kernels_.dot(x, table.row(token), table.d_model);
      }
  });
}

}  // namespace grok
