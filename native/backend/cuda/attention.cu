#include <algorithm>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/device.h"
#include "backend/cuda/digits.h"
#include "backend/cuda/kv_page.h"

namespace grok {
namespace {

constexpr int kThreads = 128;
constexpr int kBlocksPerMultiprocessor = 4;  // as many as find room for a page of keys each on 8.0
constexpr int kHeads = 8;                    // query heads that a block takes at once; Grok-1 has 6 for each kv head
// Positions whose sums are kept apart. Fixed, so that a token's result does not depend on who is beside it; small enough
// that 8 kv heads of one sequence of 4,096 positions fill 128 blocks.
constexpr int kSplitPositions = 4 * kPageSize;

struct Splits {
  Attention op;
  Batch batch;
  int first_token;
  int num_splits, num_head_blocks;
  float two_over_cap;
  float* mixed;        // [num_tokens, num_q_heads, num_splits, head_dim]
  float* weight_sums;  // [num_tokens, num_q_heads, num_splits]
};

struct Shared {
  float weights[kHeads][kPageSize];
  float weight_sums[kHeads];
};

// cap * tanh(x / cap) = cap - 2 cap / (e^(2x/cap) + 1); the softmax weight is e to that, less cap: no running maximum.
__device__ inline float softmax_weight(float logit, float cap, float two_over_cap) {
  return expf(quotient(-2.0f * cap, expf(logit * two_over_cap) + 1.0f));
}

// One block a (token, kv head and up to kHeads of its query heads, split): page by page, first each thread the weights of
// some (head, position), then each thread the mix of some of the head's values.
// Limited by memory: reads 2 * context * num_kv_heads * head_dim values a token.
template <KvCacheType kType>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor) attend_split(Splits split) {
  take_turn();
  const Attention& op = split.op;
  const int row = int(blockIdx.x), token = split.first_token + row, index = int(blockIdx.z);
  const int num_positions = split.batch.positions[token] + 1;
  const int first_position = index * kSplitPositions,
            last_position = min(num_positions, first_position + kSplitPositions);
  if (first_position >= num_positions) return;

  const int heads_per_kv = op.num_q_heads / op.num_kv_heads;
  const int kv_head_index = int(blockIdx.y) / split.num_head_blocks;
  const int first_of_kv = int(blockIdx.y) % split.num_head_blocks * kHeads;
  const int num_heads = min(kHeads, heads_per_kv - first_of_kv);
  const int first_head = kv_head_index * heads_per_kv + first_of_kv;
  const std::int32_t* pages =
      split.batch.page_tables + std::size_t(split.batch.sequences[token]) * split.batch.max_pages;

  Shared& shared = static_shared<Shared>();
  const int key_stride = op.head_dim + 1;                // odd: the rows of a column lie in different banks
  float* const keys = dynamic_shared<float>();           // [kPageSize, key_stride]
  float* const queries = keys + kPageSize * key_stride;  // [num_heads, head_dim]
  float* const mixed = queries + kHeads * op.head_dim;   // [num_heads, head_dim]
  for (int i = int(threadIdx.x); i < num_heads * op.head_dim; i += kThreads) {
    queries[i] = op.q[(std::size_t(token) * op.num_q_heads + first_head) * op.head_dim + i];
    mixed[i] = 0;
  }
  if (threadIdx.x < kHeads) shared.weight_sums[threadIdx.x] = 0;

  for (int start = first_position; start < last_position; start += kPageSize) {
    const int num_keys = min(kPageSize, last_position - start);
    const int page = pages[start / kPageSize];
    const KvHead page_keys = kv_head(op.kv.keys, kType, page, kv_head_index, op.num_kv_heads, op.head_dim);
    const KvHead page_values = kv_head(op.kv.values, kType, page, kv_head_index, op.num_kv_heads, op.head_dim);
    for (int i = int(threadIdx.x); i < num_keys * op.head_dim; i += kThreads)
      keys[i / op.head_dim * key_stride + i % op.head_dim] =
          read_kv<kType>(page_keys, i / op.head_dim, i % op.head_dim);
    __syncthreads();  // the keys are there, and the last page's weights have been used

    for (int i = int(threadIdx.x); i < kHeads * kPageSize; i += kThreads) {
      const int head = i / kPageSize, position = i % kPageSize;
      float weight = 0;  // of heads and positions that there are not
      if (head < num_heads && position < num_keys) {
        float dot = 0;
        for (int d = 0; d < op.head_dim; ++d) dot += queries[head * op.head_dim + d] * keys[position * key_stride + d];
        weight = softmax_weight(op.scale * dot, op.cap, split.two_over_cap);
      }
      shared.weights[head][position] = weight;
    }
    __syncthreads();  // the weights are there, and the keys have been used

    if (threadIdx.x < kHeads)
      for (int position = 0; position < num_keys; ++position)
        shared.weight_sums[threadIdx.x] += shared.weights[threadIdx.x][position];
    for (int d = int(threadIdx.x); d < op.head_dim; d += kThreads) {
      float sums[kHeads] = {};
      for (int position = 0; position < num_keys; ++position) {
        const float value = read_kv<kType>(page_values, position, d);
#pragma unroll
        for (int head = 0; head < kHeads; ++head) sums[head] += shared.weights[head][position] * value;
      }
#pragma unroll
      for (int head = 0; head < kHeads; ++head)
        if (head < num_heads) mixed[head * op.head_dim + d] += sums[head];
    }
  }

  __syncthreads();
  const std::size_t first_row = std::size_t(row) * op.num_q_heads + first_head;
  for (int i = int(threadIdx.x); i < num_heads * op.head_dim; i += kThreads) {
    const std::size_t to = (first_row + i / op.head_dim) * split.num_splits + index;
    split.mixed[to * op.head_dim + i % op.head_dim] = mixed[i];
  }
  if (int(threadIdx.x) < num_heads)
    split.weight_sums[(first_row + threadIdx.x) * split.num_splits + index] = shared.weight_sums[threadIdx.x];
}

// The value of one token's one query head: the splits in order.
__device__ inline float add_splits(const Splits& split, int row, int head, int i) {
  const int num_splits = (split.batch.positions[split.first_token + row] + kSplitPositions) / kSplitPositions;
  const std::size_t from = (std::size_t(row) * split.op.num_q_heads + head) * split.num_splits;
  float weight_sum = 0, sum = 0;
#pragma unroll 4  // loads in flight
  for (int index = 0; index < num_splits; ++index) {
    weight_sum += split.weight_sums[from + index];
    sum += split.mixed[(from + index) * split.op.head_dim + i];
  }
  return sum / weight_sum;
}

// One block a (token, query head).
__global__ void __launch_bounds__(kThreads) finish_heads(Splits split) {
  take_turn();
  const Attention& op = split.op;
  const int row = int(blockIdx.x), head = int(blockIdx.y);
  float* const out = op.out + (std::size_t(split.first_token + row) * op.num_q_heads + head) * op.head_dim;
  for (int i = int(threadIdx.x); i < op.head_dim; i += kThreads) out[i] = add_splits(split, row, head, i);
}

// One block a (token, slice of attention_out's inputs): the same, and its digits.
template <int kDigits>
__global__ void __launch_bounds__(kMostDigitThreads) finish_slices(Splits split, DigitRows digits, InputLayout layout) {
  take_turn();
  const Attention& op = split.op;
  const int row = int(blockIdx.x), slice = int(blockIdx.y), first = layout.first_row(slice);
  float* const out = op.out + std::size_t(split.first_token + row) * layout.d_in();
  split_slice<kDigits, kMostDigitThreads>(digits, layout, row, slice, [&](int k) {
    const float value = add_splits(split, row, (first + k) / op.head_dim, (first + k) % op.head_dim);
    out[first + k] = value;
    return value;
  });
}

int splits_of(int num_positions) { return (num_positions + kSplitPositions - 1) / kSplitPositions; }

void take_sums(Splits& split, int num_tokens, int num_q_heads, int head_dim, DeviceScratch& scratch) {
  const std::size_t num_rows = std::size_t(num_tokens) * num_q_heads * split.num_splits;
  split.mixed = scratch.of<float>(num_rows * head_dim);
  split.weight_sums = scratch.of<float>(num_rows);
}

}  // namespace

void count_attention(const StepSize& largest, DeviceScratch& scratch) {
  Splits split{};
  split.num_splits = splits_of(largest.num_positions);
  take_sums(split, std::min(kTokensAtOnce, largest.num_tokens), largest.num_q_heads, largest.head_dim, scratch);
}

void CudaBackend::attention(const Attention& op) {
  const int heads_per_kv = op.num_q_heads / op.num_kv_heads;
  const int tokens_at_once = std::min(kTokensAtOnce, op.batch->num_tokens);
  scratch_.clear();
  Splits split{.op = op,
               .batch = *op.batch,
               .first_token = 0,
               .num_splits = splits_of(shape_.num_positions),
               .num_head_blocks = (heads_per_kv + kHeads - 1) / kHeads,
               .two_over_cap = 2.0f / op.cap,
               .mixed = nullptr,
               .weight_sums = nullptr};
  take_sums(split, tokens_at_once, op.num_q_heads, op.head_dim, scratch_);
  const std::size_t shared_floats = std::size_t(kPageSize) * (op.head_dim + 1) + 2 * std::size_t(kHeads) * op.head_dim;

  // The layout is a guess, of the last layer's: it is seen when it is wrong.
  const bool is_guessed = layout_of_mixed_.d_in() == op.num_q_heads * op.head_dim;
  const DigitRows digits = leave_digits(op.out, is_guessed ? op.batch->num_tokens : 0, layout_of_mixed_);

  for (; split.first_token < op.batch->num_tokens; split.first_token += tokens_at_once) {
    const auto num_tokens = unsigned(std::min(tokens_at_once, op.batch->num_tokens - split.first_token));
    const dim3 blocks(num_tokens, unsigned(op.num_kv_heads * split.num_head_blocks), unsigned(split.num_splits));
    stream_.launch("attention", {.blocks = blocks, .threads = kThreads, .shared_bytes = shared_floats * sizeof(float)},
                   op.kv.type == KvCacheType::f32    ? attend_split<KvCacheType::f32>
                   : op.kv.type == KvCacheType::bf16 ? attend_split<KvCacheType::bf16>
                                                     : attend_split<KvCacheType::int8>,
                   split);
    if (digits.num_rows > 0)
      stream_.launch(
          "attention",
          {.blocks = dim3(num_tokens, unsigned(layout_of_mixed_.num_slices())), .threads = kMostDigitThreads},
          options_.num_digits == 2 ? finish_slices<2> : finish_slices<3>, split, digits, layout_of_mixed_);
    else
      stream_.launch("attention", {.blocks = dim3(num_tokens, unsigned(op.num_q_heads)), .threads = kThreads},
                     finish_heads, split);
  }
}

}  // namespace grok
