#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/layout/packed_table.h"
#include "backend/cpu/ops/matmul.h"

namespace grok::cpu {

// Multiplies the limbs of the head as separate matrices and adds up their results.
void CpuBackend::logits(const Logits& op) {
  const auto& table = static_cast<const PackedTable&>(*op.table);
  const Batch& batch = *op.batch;
  std::vector<const float*> rows;
  for (int output = 0; output < batch.num_outputs; ++output)
    rows.push_back(op.x + std::size_t(batch.output_rows[output]) * table.d_model());
  scratch_.clear();
  const Panels x(rows, table.d_model(), 1, kernels_, scratch_, pool_);

  Product product{.matrices = {}, .x = &x, .out = op.out};
  for (int limb = 0; limb < kernels_.product.table_limbs; ++limb)
    product.matrices.push_back({.matrix = &table.limbs(), .expert = limb});
  multiply({&product, 1}, {.scale = op.scale}, kernels_, pool_);
}

}  // namespace grok::cpu
