#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/norm.h"
#include "core/error.h"

namespace grok::cuda {
namespace {

constexpr int kMaxExperts = 64;
constexpr int kExpertsAtOnce = 8;  // experts whose weights are adjacent in a row of the router: all of Grok-1's

// Rows of the router per thread at a time, for kExpertsAtOnce experts and for any number.
constexpr int kWholeRows = kRowValues, kAnyRows = 4;

// Every kRowThreads-th row of the router from a given row on, for some experts. Zeros past the end.
template <int kRows>
struct Weights {
  float rows[kRows][kExpertsAtOnce];
};

struct Shared {
  double sums[kRowThreads / kWarpSize][kMaxExperts];
  double logits[kMaxExperts], weights[kMaxExperts];
};

template <int kRows>
__device__ Weights<kRows> load_weights(const Route& op, int first_expert, int first_row) {
  Weights<kRows> weights = {};
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const int row = first_row + i * kRowThreads;
    if (row >= op.d_model) continue;
    float* const to = weights.rows[i];
    if constexpr (kRows == kWholeRows) {
      const auto* const fours = reinterpret_cast<const float4*>(op.router) + 2 * std::size_t(row);
      const float4 low = fours[0], high = fours[1];
      to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w;
      to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
    } else {
#pragma unroll
      for (int expert = 0; expert < kExpertsAtOnce; ++expert)
        if (first_expert + expert < op.num_experts)
          to[expert] = op.router[std::size_t(row) * op.num_experts + first_expert + expert];
    }
  }
  return weights;
}

// x of those rows times their weights. A wrong choice of expert changes the result far more than rounding, but
// converting each factor to double would take longer than everything else here. `base` is so large that all sums on top
// of it have the same last place. So the part that a sum rounds off is known exactly, and is summed separately. The
// error is at most 2^-35 of the largest product.
template <int kRows>
__device__ void multiply(double (&sums)[kExpertsAtOnce], const float (&x)[kRows], const Weights<kRows>& weights,
                         float largest_weight) {
  float largest = 0;
#pragma unroll
  for (const float value : x) largest = fmaxf(largest, fabsf(value));
  static_assert(kRows <= 16);  // so that no sum leaves the binade of the base
  const float base = 3 * __uint_as_float(__float_as_uint(32 * largest * largest_weight) & 0x7f800000u);
#pragma unroll
  for (int expert = 0; expert < kExpertsAtOnce; ++expert) {
    float sum = base, left_out = 0;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const float weight = weights.rows[i][expert], next = fmaf(x[i], weight, sum);
      left_out += fmaf(x[i], weight, sum - next);
      sum = next;
    }
    sums[expert] = double(sum - base) + left_out;
  }
}

// One block a token, one thread some rows of the router; then one or two experts per lane.
template <int kRows>
__global__ void __launch_bounds__(kRowThreads, 1) route_tokens(Route op) {
  pdl_trigger();
  const int warp = int(threadIdx.x) / kWarpSize, lane = int(threadIdx.x) % kWarpSize;
  const std::size_t token = blockIdx.x;
  const int num_experts = kRows == kWholeRows ? kExpertsAtOnce : op.num_experts;
  Shared& shared = static_shared<Shared>();
  for (int first_expert = 0; first_expert < num_experts; first_expert += kExpertsAtOnce)
    for (int start = 0; start < op.d_model; start += kRows * kRowThreads) {
      const int first_row = start + int(threadIdx.x);
      const Weights<kRows> weights = load_weights<kRows>(op, first_expert, first_row);
      float largest_weight = 0;
#pragma unroll
      for (const auto& row : weights.rows)
#pragma unroll
        for (const float weight : row) largest_weight = fmaxf(largest_weight, fabsf(weight));
      if (first_expert == 0 && start == 0) pdl_wait();

      const float* const from = op.x + token * op.d_model + first_row;
      float x[kRows];
#pragma unroll
      for (int i = 0; i < kRows; ++i) x[i] = first_row + i * kRowThreads < op.d_model ? from[i * kRowThreads] : 0.0f;
      double sums[kExpertsAtOnce];
      multiply(sums, x, weights, largest_weight);
      const double sum = lane_sums<kExpertsAtOnce>(sums);
      double& of_warp = shared.sums[warp][first_expert + lane % kExpertsAtOnce];
      if (lane < kExpertsAtOnce) of_warp = start == 0 ? sum : of_warp + sum;
    }
  __syncthreads();  // the sums of all warps are written
  if (warp > 0) return;

  double highest = -INFINITY, total = 0;
#pragma unroll 1
  for (int expert = lane; expert < num_experts; expert += kWarpSize) {
    double parts[4] = {};  // independent sums
#pragma unroll
    for (int other = 0; other < kRowThreads / kWarpSize; ++other) parts[other % 4] += shared.sums[other][expert];
    const double logit = (parts[0] + parts[1]) + (parts[2] + parts[3]);
    op.logits[token * num_experts + expert] = float(logit);
    shared.logits[expert] = logit;
    highest = fmax(highest, logit);
  }
  highest = warp_reduce(highest, [](double a, double b) { return fmax(a, b); });
#pragma unroll 1
  for (int expert = lane; expert < num_experts; expert += kWarpSize) {
    const double weight = exp(shared.logits[expert] - highest);
    shared.weights[expert] = weight >= 0 ? weight : -1;  // a NaN comes last
    total += weight;
  }
  total = warp_reduce(total, [](double a, double b) { return a + b; });
  const double share = 1.0 / total;
  __syncwarp();
#pragma unroll 1
  for (int expert = lane; expert < num_experts; expert += kWarpSize) {
    const double weight = shared.weights[expert];
    int rank = 0;  // among equals, the lower id is first
    for (int other = 0; other < num_experts; ++other) {
      const double another = shared.weights[other];
      rank += another > weight || (another == weight && other < expert);
    }
    if (rank >= op.experts_per_token) continue;
    op.experts[token * op.experts_per_token + rank] = expert;
    op.gates[token * op.experts_per_token + rank] = float(weight * share);
  }
}

}  // namespace

void CudaBackend::route(const Route& op) {
  if (op.num_experts > kMaxExperts)
    throw Error(ErrorCode::unsupported, concat("the CUDA backend routes among up to ", kMaxExperts,
                                               " experts, the model has ", op.num_experts));
  stream_.launch("route", {.blocks = unsigned(op.num_tokens), .threads = kRowThreads},
                 op.num_experts == kExpertsAtOnce ? route_tokens<kWholeRows> : route_tokens<kAnyRows>, op);
}

}  // namespace grok::cuda
