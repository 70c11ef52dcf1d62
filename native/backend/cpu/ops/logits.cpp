#include <algorithm>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/layout/packed_table.h"
#include "backend/cpu/ops/matmul.h"

namespace grok::cpu {

// Multiplies the planes of the head as separate matrices and adds up their results.
void CpuBackend::logits(const Logits& op) {
  const auto& table = static_cast<const PackedTable&>(*op.table);
  const CpuMatrix& planes = table.planes();
  const Batch& batch = *op.batch;
  std::vector<const float*> rows;
  for (int output = 0; output < batch.num_outputs; ++output)
    rows.push_back(op.x + std::size_t(batch.output_rows[output]) * table.d_model());
  scratch_.clear();
  const Panels x(rows, table.d_model(), 1, kernels_, scratch_, pool_);

  const ProductWork work{.matrix = &planes, .x = &x, .num_matrices = kernels_.product.table_planes};
  for_each_block({&work, 1}, pool_, [&](const ProductBlock& block) {
    float *const sums = block_out(0), *const of_plane = block_out(1);
    multiply_block(planes, 0, x, block, sums, kernels_);
    for (int plane = 1; plane < kernels_.product.table_planes; ++plane) {
      multiply_block(planes, plane, x, block, of_plane, kernels_);
      for (int i = 0; i < block.num_tiles() * kPanelTokens * kStrip; ++i) sums[i] += of_plane[i];
    }
    for (int strip = block.first_strip; strip < block.first_strip + block.num_strips; ++strip) {
      const int num_columns = std::min(kStrip, table.vocab_size() - strip * kStrip);
      for (int panel = block.first_panel; panel < block.first_panel + block.num_panels; ++panel)
        for (int row = 0; row < x.rows_of(panel); ++row) {
          const float* from = tile_of(sums, block, strip, panel) + row * kStrip;
          float* out =
              op.out + std::size_t(panel * kPanelTokens + row) * table.vocab_size() + std::size_t(strip) * kStrip;
          for (int column = 0; column < num_columns; ++column) out[column] = op.scale * from[column];
        }
    }
  });
}

}  // namespace grok::cpu
