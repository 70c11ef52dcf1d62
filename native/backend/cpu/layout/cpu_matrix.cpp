#include "backend/cpu/layout/cpu_matrix.h"

#include "core/error.h"

namespace grok::cpu {

CpuMatrix::CpuMatrix(int num_experts, int d_in, int d_out, int num_groups)
    : num_experts(num_experts), d_in(d_in), d_out(d_out), num_groups(num_groups), num_strips(strips_of(d_out)) {
  require_summable(d_in / num_groups);
}

void CpuMatrix::require_summable(int group_rows) {
  if (group_rows > kMaxGroupRows)
    throw Error(ErrorCode::unsupported,
                concat("expected at most ", kMaxGroupRows, " inputs of a matrix to share a scale, found ", group_rows));
}

}  // namespace grok::cpu
