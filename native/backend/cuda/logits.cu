#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/reduce.h"

namespace grok {
namespace {

constexpr int kThreads = 256;
constexpr int kRows = 4;     // rows of the table that a warp reads side by side: loads in flight
constexpr int kOutputs = 4;  // outputs that share a reading

struct Head {
  Logits op;
  Batch batch;
  const float* rows;  // [vocab_size, d_model]
  int vocab_size, d_model;
};

// One warp kRows rows of the table for kNumOutputs outputs. A sum is over every 32nd value, then over the lanes, however
// many outputs there are.
// Limited by memory: reads the table once for each kOutputs outputs.
template <int kNumOutputs>
__global__ void __launch_bounds__(kThreads) head(Head head) {
  take_turn();
  const int warp = int(blockIdx.x) * (kThreads / kWarpSize) + int(threadIdx.x) / kWarpSize,
            lane = int(threadIdx.x) % kWarpSize;
  const int first_row = warp * kRows, num_rows = min(kRows, head.vocab_size - first_row);
  if (num_rows <= 0) return;
  const int first_output = int(blockIdx.y) * kNumOutputs;
  const int num_outputs = min(kNumOutputs, head.batch.num_outputs - first_output);

  // Those that there are not repeat the last, so that the loop asks nothing.
  const float* rows[kRows];
  const float* x[kNumOutputs];
#pragma unroll
  for (int row = 0; row < kRows; ++row)
    rows[row] = head.rows + std::size_t(first_row + min(row, num_rows - 1)) * head.d_model;
#pragma unroll
  for (int output = 0; output < kNumOutputs; ++output)
    x[output] =
        head.op.x + std::size_t(head.batch.output_rows[first_output + min(output, num_outputs - 1)]) * head.d_model;

  float sums[kRows][kNumOutputs] = {};
#pragma unroll 4
  for (int i = lane; i < head.d_model; i += kWarpSize)
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      const float weight = rows[row][i];
#pragma unroll
      for (int output = 0; output < kNumOutputs; ++output)
        sums[row][output] = fmaf(weight, x[output][i], sums[row][output]);
    }
#pragma unroll
  for (int row = 0; row < kRows; ++row)
#pragma unroll
    for (int output = 0; output < kNumOutputs; ++output) {
      const float sum = warp_reduce(sums[row][output], [](float a, float b) { return a + b; });
      if (lane == 0 && row < num_rows && output < num_outputs)
        head.op.out[std::size_t(first_output + output) * head.vocab_size + first_row + row] = head.op.scale * sum;
    }
}

}  // namespace

void CudaBackend::logits(const Logits& op) {
  const auto& table = static_cast<const CudaTable&>(*op.table);
  const Head arguments{
      .op = op, .batch = *op.batch, .rows = table.rows(), .vocab_size = table.vocab_size, .d_model = table.d_model};
  constexpr int kRowsOfBlock = kRows * kThreads / kWarpSize;
  const auto num_blocks = unsigned((table.vocab_size + kRowsOfBlock - 1) / kRowsOfBlock);
  if (op.batch->num_outputs == 1)
    stream_.launch("logits", {.blocks = dim3(num_blocks), .threads = kThreads}, head<1>, arguments);
  else
    stream_.launch(
        "logits",
        {.blocks = dim3(num_blocks, unsigned((op.batch->num_outputs + kOutputs - 1) / kOutputs)), .threads = kThreads},
        head<kOutputs>, arguments);
}

}  // namespace grok
