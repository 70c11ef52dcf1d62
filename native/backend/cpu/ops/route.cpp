#include <algorithm>
#include <cmath>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/ops/tasks.h"

namespace grok::cpu {

// Summed in double: a wrong choice of expert changes the result far more than rounding.
void CpuBackend::route(const Route& op) {
  for_each_task(op.num_tokens, std::size_t(op.d_model) * op.num_experts, pool_, [&](std::size_t token) {
    const float* x = op.x + token * op.d_model;
    std::vector<double> logits(op.num_experts);
    for (int i = 0; i < op.d_model; ++i)
      for (int expert = 0; expert < op.num_experts; ++expert)
        logits[expert] += double(x[i]) * op.router[std::size_t(i) * op.num_experts + expert];

    const double highest = *std::max_element(logits.begin(), logits.end());
    std::vector<double> weights(op.num_experts);
    double total = 0;
    for (int expert = 0; expert < op.num_experts; ++expert) {
      weights[expert] = std::exp(logits[expert] - highest);
      total += weights[expert];
      op.logits[token * op.num_experts + expert] = float(logits[expert]);
    }

    for (int rank = 0; rank < op.experts_per_token; ++rank) {
      // the first of equals, which has the lower id
      const auto best = std::max_element(weights.begin(), weights.end());
      op.experts[token * op.experts_per_token + rank] = std::int32_t(best - weights.begin());
      op.gates[token * op.experts_per_token + rank] = float(*best / total);
      *best = -1;
    }
  });
}

}  // namespace grok::cpu
