#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/norm.h"
#include "core/error.h"

namespace grok {
namespace {

constexpr int kMaxExperts = 64;
constexpr int kExpertsAtOnce = 8;  // whose weights lie side by side in a row of the router: all of Grok-1's

struct Shared {
  double sums[kMostDigitThreads / kWarpSize][kExpertsAtOnce];
  double logits[kMaxExperts];
  double weights[kMaxExperts];
};

// One block a token, one thread some rows of the router, one lane an expert's share; the best of a few by one thread.
// Summed in double: an expert taken for another changes far more than a rounding.
__global__ void __launch_bounds__(kMostDigitThreads) route_tokens(Route op) {
  take_turn();
  const int warp = int(threadIdx.x) / kWarpSize, lane = int(threadIdx.x) % kWarpSize;
  const std::size_t token = blockIdx.x;
  const float* x = op.x + token * op.d_model;
  Shared& shared = static_shared<Shared>();
  for (int first = 0; first < op.num_experts; first += kExpertsAtOnce) {
    double sums[kExpertsAtOnce] = {};
#pragma unroll 2
    for (int i = int(threadIdx.x); i < op.d_model; i += int(blockDim.x)) {
      const float* const row = op.router + std::size_t(i) * op.num_experts + first;
#pragma unroll
      for (int index = 0; index < kExpertsAtOnce; ++index)
        if (first + index < op.num_experts) sums[index] += double(x[i]) * row[index];
    }
#pragma unroll
    for (int index = 0; index < kExpertsAtOnce; ++index) {
      const double sum = warp_reduce(sums[index], [](double a, double b) { return a + b; });
      if (lane == 0) shared.sums[warp][index] = sum;
    }
    __syncthreads();
    if (threadIdx.x < kExpertsAtOnce && first + int(threadIdx.x) < op.num_experts) {
      double sum = 0;
      for (int other = 0; other < int(blockDim.x) / kWarpSize; ++other) sum += shared.sums[other][threadIdx.x];
      shared.logits[first + threadIdx.x] = sum;
    }
    __syncthreads();
  }
  if (warp > 0) return;

  double highest = shared.logits[0], total = 0;
  for (int expert = 1; expert < op.num_experts; ++expert)
    if (shared.logits[expert] > highest) highest = shared.logits[expert];
  for (int expert = lane; expert < op.num_experts; expert += kWarpSize) {
    shared.weights[expert] = exp(shared.logits[expert] - highest);
    op.logits[token * op.num_experts + expert] = float(shared.logits[expert]);
  }
  __syncwarp();
  if (lane > 0) return;
  for (int expert = 0; expert < op.num_experts; ++expert) total += shared.weights[expert];
  const double share = 1.0 / total;
  for (int rank = 0; rank < op.experts_per_token; ++rank) {
    int best = 0;  // the first of equals: the lower id
    for (int expert = 1; expert < op.num_experts; ++expert)
      if (shared.weights[expert] > shared.weights[best]) best = expert;
    op.experts[token * op.experts_per_token + rank] = best;
    op.gates[token * op.experts_per_token + rank] = float(shared.weights[best] * share);
    shared.weights[best] = -1;
  }
}

}  // namespace

void CudaBackend::route(const Route& op) {
  if (op.num_experts > kMaxExperts)
    throw Error(ErrorCode::unsupported, concat("the CUDA backend routes among up to ", kMaxExperts,
                                               " experts, the model has ", op.num_experts));
  stream_.launch("route", {.blocks = unsigned(op.num_tokens), .threads = kRowThreads}, route_tokens, op);
}

}  // namespace grok
