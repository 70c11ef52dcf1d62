#include <algorithm>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/product.h"
#include "core/error.h"

namespace grok::cuda {
namespace {

constexpr int kThreads = 256, kMixThreads = 64;
constexpr int kMaxExperts = 64;

// The slots, one for each (token, rank) pair, sorted by expert. A "position" is an index in that order.
struct Grouping {
  Job* jobs;                       // [num_experts + num_slots / positions_per_job of the shortest pass]
  std::int32_t* num_jobs;          // [1]
  std::int32_t* row_of_position;   // [num_slots] token
  std::int32_t* position_of_slot;  // [num_slots]
  const std::int32_t* experts;     // [num_slots]
  int num_slots, num_experts, experts_per_token, positions_per_job;
};

struct Shared {
  int first[kMaxExperts + 1];  // position of each expert's first slot
};

// One block; each warp counts and then places the slots of some experts, in the order of the slots.
__global__ void __launch_bounds__(kThreads) group_by_expert(Grouping group) {
  pdl_sync();
  const int warp = int(threadIdx.x) / kWarpSize, lane = int(threadIdx.x) % kWarpSize;
  Shared& shared = static_shared<Shared>();
  for (int expert = warp; expert < group.num_experts; expert += kThreads / kWarpSize) {
    int count = 0;
    for (int slot = lane; slot < group.num_slots; slot += kWarpSize) count += group.experts[slot] == expert;
    count = warp_reduce(count, [](int a, int b) { return a + b; });
    if (lane == 0) shared.first[expert + 1] = count;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    int num_jobs = 0;
    shared.first[0] = 0;
    for (int expert = 0; expert < group.num_experts; ++expert) {
      const int first = shared.first[expert], count = shared.first[expert + 1];
      for (int done = 0; done < count; done += group.positions_per_job)
        group.jobs[num_jobs++] = {expert, first + done, min(group.positions_per_job, count - done)};
      shared.first[expert + 1] = first + count;
    }
    *group.num_jobs = num_jobs;
  }
  __syncthreads();
  for (int expert = warp; expert < group.num_experts; expert += kThreads / kWarpSize) {
    int position = shared.first[expert];
    for (int start = 0; start < group.num_slots; start += kWarpSize) {
      const int slot = start + lane;
      const bool is_here = slot < group.num_slots && group.experts[slot] == expert;
      const unsigned lanes = __ballot_sync(kAllLanes, is_here);
      if (is_here) {
        const int own = position + __popc(lanes & ((1u << lane) - 1));
        group.row_of_position[own] = slot / group.experts_per_token;
        group.position_of_slot[slot] = own;
      }
      position += __popc(lanes);
    }
  }
}

// gelu_tanh(x) = x/2 (1 + tanh u) = x / (1 + e^(-2u)) with u = sqrt(2/pi) (x + 0.044715 x^3). This form keeps its
// relative precision if tanh is close to -1. Source: xai-org/grok-1 model.py:DenseBlock (jax.nn.gelu, tanh form)
__device__ inline float gelu_tanh(float x) {
  constexpr float kMinus2Slope = -2.0f * 0.7978845608f;
  return x / (expf(x * (kMinus2Slope + kMinus2Slope * 0.044715f * (x * x))) + 1.0f);
}

// One block a (position, slice of the down product's inputs): gelu(gate) * up, quantized.
template <int kLimbs>
__global__ void __launch_bounds__(kMostQuantizeThreads)
    gate(LimbRows hidden, ProductResult of_gate, ProductResult of_up, InputLayout layout) {
  pdl_sync();
  const int position = int(blockIdx.x), slice = int(blockIdx.y);
  const int first = layout.first_row(slice);
  quantize_slice<kLimbs, kMostQuantizeThreads>(hidden, layout, position, slice, [&](int k) {
    return gelu_tanh(of_gate.at(position, first + k)) * of_up.at(position, first + k);
  });
}

// One thread an output: the sum over the token's experts, best first.
__global__ void __launch_bounds__(kMixThreads)
    mix_experts(float* out,          // [num_tokens, d_model]
                const float* gates,  // [num_tokens, experts_per_token]
                // null: the slot's own index
                const std::int32_t* position_of_slot, ProductResult down, int d_model, int experts_per_token) {
  pdl_sync();
  const int token = int(blockIdx.x), column = int(blockIdx.y) * kMixThreads + int(threadIdx.x);
  if (column >= d_model) return;
  float sum = 0;
  for (int rank = 0; rank < experts_per_token; ++rank) {
    const int slot = token * experts_per_token + rank;
    sum += gates[slot] * down.at<16>(position_of_slot ? position_of_slot[slot] : slot, column);
  }
  out[std::size_t(token) * d_model + column] = sum;
}

// Allocates the scratch arrays; the caller fills in the remaining fields.
Grouping grouping_of(int num_slots, int num_experts, int num_limbs, DeviceScratch& scratch) {
  const int fewest_per_job = positions_per_pass(1, num_limbs);
  Grouping group{};
  group.jobs = scratch.of<Job>(std::size_t(num_experts) + num_slots / fewest_per_job);
  group.num_jobs = scratch.of<std::int32_t>(1);
  group.row_of_position = scratch.of<std::int32_t>(num_slots);
  group.position_of_slot = scratch.of<std::int32_t>(num_slots);
  group.num_slots = num_slots;
  group.num_experts = num_experts;
  return group;
}

}  // namespace

void count_experts(const MatrixShape& w_gate, const MatrixShape& w_up, const MatrixShape& w_down, int num_tokens,
                   int experts_per_token, int num_limbs, DeviceScratch& scratch) {
  const int num_slots = num_tokens * experts_per_token;
  grouping_of(num_slots, w_gate.num_experts, num_limbs, scratch);
  const MatrixShape* const gate_and_up[] = {&w_gate, &w_up};
  count_product(gate_and_up, num_tokens, num_slots, num_limbs, scratch);
  const MatrixShape* const down[] = {&w_down};
  count_product(down, num_slots, num_slots, num_limbs, scratch);
}

// Tokens are grouped by expert, so that each expert's weights are read once for up to 32 of its tokens. The host never
// waits for the device to learn which experts were chosen. With one token, the experts are the groups. Limited by
// memory: at 1 token, reads 2 experts of 3 * d_model * d_ff bytes each.
void CudaBackend::experts_at_once(const Experts& op, const Activations& x) {
  const auto& w_gate = static_cast<const CudaMatrix&>(*op.w_gate);
  const auto& w_up = static_cast<const CudaMatrix&>(*op.w_up);
  const auto& w_down = static_cast<const CudaMatrix&>(*op.w_down);
  const int num_slots = op.num_tokens * op.experts_per_token, num_limbs = options_.num_limbs;
  if (w_gate.num_experts > kMaxExperts)
    throw Error(ErrorCode::unsupported,
                concat("the CUDA backend takes up to ", kMaxExperts, " experts, the model has ", w_gate.num_experts));
  scratch_.clear();

  // The slots of an expert belong to different tokens.
  const int positions_per_job = positions_per_pass(op.num_tokens, num_limbs);
  JobList jobs{.num_positions = num_slots, .positions_per_job = positions_per_job};
  const std::int32_t* position_of_slot = nullptr;
  if (op.num_tokens == 1) {
    jobs.experts = op.experts;
  } else {
    Grouping group = grouping_of(num_slots, w_gate.num_experts, num_limbs, scratch_);
    group.experts = op.experts;
    group.experts_per_token = op.experts_per_token;
    group.positions_per_job = positions_per_job;
    stream_.launch("experts: grouping", {.blocks = 1, .threads = kThreads}, group_by_expert, group);
    jobs.jobs = group.jobs;
    jobs.num_jobs = group.num_jobs;
    jobs.row_of_position = group.row_of_position;
    position_of_slot = group.position_of_slot;
  }
  const CudaMatrix* const gate_and_up[] = {&w_gate, &w_up};
  const Products gate_and_up_results =
      multiply(gate_and_up, x, num_limbs, jobs, traits_.num_multiprocessors, scratch_, stream_);

  const LimbRows hidden = limb_rows(num_slots, num_limbs, w_down.layout, scratch_);
  stream_.launch(
      "experts: gelu",
      {.blocks = dim3(unsigned(num_slots), unsigned(w_down.layout.num_slices())), .threads = kMostQuantizeThreads},
      num_limbs == 2 ? gate<2> : gate<3>, hidden, gate_and_up_results[0], gate_and_up_results[1], w_down.layout);

  jobs.row_of_position = nullptr;  // the hidden rows are already in the order of the positions
  const CudaMatrix* const down[] = {&w_down};
  const Products down_results = multiply(down, hidden, num_limbs, jobs, traits_.num_multiprocessors, scratch_, stream_);
  stream_.launch("experts: mixing",
                 {.blocks = dim3(unsigned(op.num_tokens), unsigned((w_down.d_out + kMixThreads - 1) / kMixThreads)),
                  .threads = kMixThreads},
                 mix_experts, op.out, op.gates, position_of_slot, down_results[0], w_down.d_out, op.experts_per_token);
}

void CudaBackend::experts(const Experts& op) {
  const int d_model = static_cast<const CudaMatrix&>(*op.w_gate).d_in;
  const Activations x(op.x, op.num_tokens, op.x_quantized);
  for (int first = 0; first < op.num_tokens; first += kTokensAtOnce) {
    Experts part = op;
    part.num_tokens = std::min(kTokensAtOnce, op.num_tokens - first);
    part.out += std::size_t(first) * d_model;
    part.experts += std::size_t(first) * op.experts_per_token;
    part.gates += std::size_t(first) * op.experts_per_token;
    experts_at_once(part, x.part(first, part.num_tokens, d_model));
  }
}

}  // namespace grok::cuda
