#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/ops/matmul.h"

namespace grok::cpu {

void CpuBackend::attention_out(const AttentionOut& op) {
  const auto& w = static_cast<const CpuMatrix&>(*op.w);
  scratch_.clear();
  const Panels x(op.x, op.num_tokens, w.d_in, w.num_groups, kernels_, scratch_, pool_);
  const Product product{.matrices = {{.matrix = &w}}, .x = &x, .out = op.out};
  multiply({&product, 1}, {}, kernels_, pool_);
}

}  // namespace grok::cpu
