#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/reduce.h"
#include "core/error.h"

namespace grok {
namespace {

constexpr int kThreads = 256;
constexpr int kMaxExperts = 64;

struct Shared {
  double logits[kMaxExperts];
  double weights[kMaxExperts];
};

// One block a token, one warp an expert; the softmax of a few experts by one thread.
// Summed in double: an expert taken for another changes far more than a rounding.
__global__ void __launch_bounds__(kThreads) route_tokens(Route op) {
  take_turn();
  const int warp = int(threadIdx.x) / kWarpSize, lane = int(threadIdx.x) % kWarpSize;
  const std::size_t token = blockIdx.x;
  const float* x = op.x + token * op.d_model;
  Shared& shared = static_shared<Shared>();
  for (int expert = warp; expert < op.num_experts; expert += kThreads / kWarpSize) {
    double sum = 0;
    for (int i = lane; i < op.d_model; i += kWarpSize)
      sum += double(x[i]) * op.router[std::size_t(i) * op.num_experts + expert];
    sum = warp_reduce(sum, [](double a, double b) { return a + b; });
    if (lane == 0) shared.logits[expert] = sum;
  }
  __syncthreads();
  if (threadIdx.x > 0) return;

  double highest = shared.logits[0], total = 0;
  for (int expert = 1; expert < op.num_experts; ++expert)
    if (shared.logits[expert] > highest) highest = shared.logits[expert];
  for (int expert = 0; expert < op.num_experts; ++expert) {
    shared.weights[expert] = exp(shared.logits[expert] - highest);
    total += shared.weights[expert];
    op.logits[token * op.num_experts + expert] = float(shared.logits[expert]);
  }
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
  stream_.launch("route", {.blocks = unsigned(op.num_tokens), .threads = kThreads}, route_tokens, op);
}

}  // namespace grok
