#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/layout/packed_table.h"
#include "backend/cpu/ops/panels.h"
#include "backend/cpu/ops/tasks.h"

namespace grok::cpu {

void CpuBackend::embed(const Embed& op) {
  const auto& table = static_cast<const PackedTable&>(*op.table);
  for_each_task(op.batch->num_tokens, std::size_t(table.d_model()) * kPackingWork, pool_, [&](std::size_t token) {
    float* out = op.out + token * table.d_model();
    table.row(op.batch->tokens[token], out);
    for (int i = 0; i < table.d_model(); ++i) out[i] *= op.scale;
  });
}

}  // namespace grok::cpu
