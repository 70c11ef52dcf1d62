#include "backend/cpu/cpu_backend.h"

namespace grok {

void CpuBackend::embed(const Embed& op) {
  const auto& table = static_cast<const CpuTable&>(*op.table);
  for (int token = 0; token < op.batch->num_tokens; ++token) {
    const float* row = table.row(op.batch->tokens[token]);
    float* out = op.out + std::size_t(token) * table.d_model;
    for (int i = 0; i < table.d_model; ++i) out[i] = row[i] * op.scale;
  }
}

}  // namespace grok
