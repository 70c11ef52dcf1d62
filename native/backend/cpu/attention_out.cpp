#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/matmul.h"

namespace grok {

void CpuBackend::attention_out(const AttentionOut& op) {
  const auto& w = static_cast<const PackedMatrix&>(*op.w);
  scratch_.clear();
  const Panels x = pack_rows(op.x, op.num_tokens, w.d_in, scratch_, pool_);
  const Product product{.matrix = &w, .x = &x, .out = op.out};
  multiply({&product, 1}, kernels_, pool_);
}

}  // namespace grok
