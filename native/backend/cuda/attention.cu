#include <algorithm>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/device.h"
#include "backend/cuda/kv_page.h"
#include "backend/cuda/quantize.h"
#include "core/error.h"

namespace grok::cuda {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;
constexpr int kBlocksPerMultiprocessor = 3;  // limited by registers
// Positions that are summed separately, one page per warp. Fixed, so that a token's result does not depend on its
// batch. Small enough that 8 kv heads of one sequence of 4,096 positions fill 128 blocks.
constexpr int kSplitPositions = kWarps * kPageSize;

// Elements that a warp processes at once. A lane holds four elements of each row, or a multiple of four.
struct Tile {
  int heads;      // query heads; Grok-1 has 6 for each kv head
  int positions;  // 4 positions of 8 heads: a dot product for each lane
  int quads;      // per lane
  __host__ __device__ constexpr int most_dim() const { return quads * 4 * kWarpSize; }
};
// Usual: a head_dim up to 128 that is a multiple of four. Other sizes take eight times as many registers for each head.
__host__ __device__ constexpr Tile tile(bool is_usual) {
  return is_usual ? Tile{.heads = 8, .positions = 4, .quads = 1} : Tile{.heads = 1, .positions = 1, .quads = 8};
}
bool is_usual(int head_dim) { return head_dim % 4 == 0 && head_dim <= tile(true).most_dim(); }

struct Splits {
  Attention op;
  Batch batch;
  int first_token;
  int num_splits, num_head_blocks;
  float two_over_cap;
  float* value_sums;   // [num_tokens, num_q_heads, num_splits, head_dim]
  float* weight_sums;  // [num_tokens, num_q_heads, num_splits]
};

// cap * tanh(x / cap) = cap - 2 cap / (e^(2x/cap) + 1). The softmax weight is e to that power, minus cap: no running
// maximum.
__device__ inline float softmax_weight(float logit, float cap, float two_over_cap) {
  return expf(quotient(-2.0f * cap, expf(logit * two_over_cap) + 1.0f));
}

// A lane's share of a row: elements from 4 (lane + 32 quad) on, 0 past the end of the row.
template <KvCacheType kType, bool kIsUsual>
struct Share {
  static constexpr Tile kTile = tile(kIsUsual);
  float of[kTile.quads][4] = {};

  __device__ void read(const KvHead& head, int position) {
#pragma unroll
    for (int quad = 0; quad < kTile.quads; ++quad) {
      const int i = 4 * (int(threadIdx.x) % kWarpSize + kWarpSize * quad);
      if (kIsUsual && i < head.head_dim) {
        const float4 four = read_kv_quad<kType>(head, position, i);
        of[quad][0] = four.x, of[quad][1] = four.y, of[quad][2] = four.z, of[quad][3] = four.w;
      }
      for (int pair = 0; !kIsUsual && pair < 4; pair += 2)
        if (i + pair < head.head_dim) {
          const float2 two = read_kv_pair<kType>(head, position, i + pair);
          of[quad][pair] = two.x, of[quad][pair + 1] = two.y;
        }
    }
  }
};

// One block a (token, kv head and some of its query heads, split), one warp a page. A warp processes some positions at
// once: it computes all their dot products across the lanes, then one softmax weight per lane, then each lane's share
// of the values. Limited by memory with f32 and bf16: reads 2 * context * num_kv_heads * head_dim values a token. Each
// load of a warp reads a whole row, and eight loads are in flight. A warp needs some 115 instructions per position of a
// kv head, which limit int8. On an H100, 8 sequences of 8,192 positions in f32 take 219 us, 0.78 of the speed of
// reading alone.
template <KvCacheType kType, bool kIsUsual>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor) attend_split(Splits split) {
  constexpr Tile kTile = tile(kIsUsual);
  constexpr int kHeads = kTile.heads, kPositions = kTile.positions, kLogits = kPositions * kHeads;
  using RowShare = Share<kType, kIsUsual>;
  pdl_wait();
  pdl_trigger();  // not earlier: its prefetched weights would be evicted from L2 (computed, not measured)
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
  const int warp = int(threadIdx.x) / kWarpSize, lane = int(threadIdx.x) % kWarpSize;

  const float* q = op.q + std::size_t(token) * op.num_q_heads * op.head_dim;
  const KvHead query_rows{reinterpret_cast<std::byte*>(const_cast<float*>(q)), op.head_dim};
  Share<KvCacheType::f32, kIsUsual> queries[kHeads];
#pragma unroll
  for (int head = 0; head < kHeads; ++head)
    if (head < num_heads) queries[head].read(query_rows, first_head + head);
  float value_sums[kHeads][kTile.quads][4] = {};
  float weight_sum = 0;  // sum of one head over every kPositions-th position

  const int start_of_warp = first_position + warp * kPageSize;
  const int num_keys = min(kPageSize, last_position - start_of_warp);  // 0 or less: this warp has no page
  const std::int32_t* pages =
      split.batch.page_tables + std::size_t(split.batch.sequences[token]) * split.batch.max_pages;
  const int page = num_keys > 0 ? pages[start_of_warp / kPageSize] : 0;
  const KvHead page_keys = kv_head(op.kv.keys, kType, page, kv_head_index, op.num_kv_heads, op.head_dim);
  const KvHead page_values = kv_head(op.kv.values, kType, page, kv_head_index, op.num_kv_heads, op.head_dim);

  for (int start = 0; start < num_keys; start += kPositions) {
    RowShare keys[kPositions], values[kPositions];
#pragma unroll
    for (int i = 0; i < kPositions; ++i)
      if (start + i < num_keys) {
        keys[i].read(page_keys, start + i);
        values[i].read(page_values, start + i);
      }

    float logits[kLogits];
#pragma unroll
    for (int i = 0; i < kPositions; ++i)
#pragma unroll
      for (int head = 0; head < kHeads; ++head) {
        float dot = 0;
#pragma unroll
        for (int quad = 0; quad < kTile.quads; ++quad)
#pragma unroll
          for (int d = 0; d < 4; ++d) dot += queries[head].of[quad][d] * keys[i].of[quad][d];
        logits[i * kHeads + head] = dot;
      }
    const float logit = lane_sums<kLogits>(logits);
    const int position = start + lane % kLogits / kHeads;
    float weight = 0;  // 0 for a position past the end
    if (position < num_keys) {
      const float scale = kType == KvCacheType::int8 ? op.scale * page_keys.scale(position) : op.scale;
      weight = softmax_weight(scale * logit, op.cap, split.two_over_cap);
    }
    weight_sum += weight;
    if (kType == KvCacheType::int8 && position < num_keys) weight *= page_values.scale(position);

#pragma unroll
    for (int i = 0; i < kPositions; ++i)
#pragma unroll
      for (int head = 0; head < kHeads; ++head) {
        const float weight_of_head = __shfl_sync(kAllLanes, weight, i * kHeads + head);
#pragma unroll
        for (int quad = 0; quad < kTile.quads; ++quad)
#pragma unroll
          for (int d = 0; d < 4; ++d) value_sums[head][quad][d] += weight_of_head * values[i].of[quad][d];
      }
  }
#pragma unroll
  for (int distance = kHeads; distance < kLogits; distance *= 2)
    weight_sum += __shfl_xor_sync(kAllLanes, weight_sum, distance);

  // The sums of all warps, in order.
  struct WeightSums {
    float of[kWarps][kHeads];
  };
  WeightSums& weight_sums = static_shared<WeightSums>();
  float* const sums = dynamic_shared<float>();  // [kWarps, kHeads, head_dim]
  if (lane < kHeads) weight_sums.of[warp][lane] = weight_sum;
#pragma unroll
  for (int head = 0; head < kHeads; ++head)
#pragma unroll
    for (int quad = 0; quad < kTile.quads; ++quad)
#pragma unroll
      for (int d = 0; d < 4; ++d)
        if (const int i = 4 * (lane + kWarpSize * quad) + d; i < op.head_dim)
          sums[(warp * kHeads + head) * op.head_dim + i] = value_sums[head][quad][d];
  __syncthreads();  // the sums of all warps are written
  const std::size_t first_row = std::size_t(row) * op.num_q_heads + first_head;
  for (int i = int(threadIdx.x); i < num_heads * op.head_dim; i += kThreads) {
    float sum = 0;
    for (int from = 0; from < kWarps; ++from) sum += sums[from * kHeads * op.head_dim + i];
    const std::size_t to = (first_row + i / op.head_dim) * split.num_splits + index;
    split.value_sums[to * op.head_dim + i % op.head_dim] = sum;
  }
  if (int(threadIdx.x) < num_heads) {
    float sum = 0;
    for (int from = 0; from < kWarps; ++from) sum += weight_sums.of[from][threadIdx.x];
    split.weight_sums[(first_row + threadIdx.x) * split.num_splits + index] = sum;
  }
}

template <KvCacheType kType>
auto attend_split_for(int head_dim) {
  return is_usual(head_dim) ? attend_split<kType, true> : attend_split<kType, false>;
}

// Sums the splits of one value of a query head of a token, in order.
__device__ inline float add_splits(const Splits& split, int row, int head, int i) {
  const int num_splits = (split.batch.positions[split.first_token + row] + kSplitPositions) / kSplitPositions;
  const std::size_t from = (std::size_t(row) * split.op.num_q_heads + head) * split.num_splits;
  float weight_sum = 0, sum = 0;
#pragma unroll 4  // loads in flight
  for (int index = 0; index < num_splits; ++index) {
    weight_sum += split.weight_sums[from + index];
    sum += split.value_sums[(from + index) * split.op.head_dim + i];
  }
  return sum / weight_sum;
}

// One block a (token, query head).
__global__ void __launch_bounds__(kThreads) finish_heads(Splits split) {
  pdl_sync();
  const Attention& op = split.op;
  const int row = int(blockIdx.x), head = int(blockIdx.y);
  float* const out = op.out + (std::size_t(split.first_token + row) * op.num_q_heads + head) * op.head_dim;
  for (int i = int(threadIdx.x); i < op.head_dim; i += kThreads) out[i] = add_splits(split, row, head, i);
}

// One block a (token, slice of attention_out's inputs): the same sums, and their quantized copy.
template <int kLimbs>
__global__ void __launch_bounds__(kMostQuantizeThreads)
    finish_slices(Splits split, LimbRows limbs, InputLayout layout) {
  pdl_sync();
  const Attention& op = split.op;
  const int row = int(blockIdx.x), slice = int(blockIdx.y), first = layout.first_row(slice);
  float* const out = op.out + std::size_t(split.first_token + row) * layout.d_in();
  quantize_slice<kLimbs, kMostQuantizeThreads>(limbs, layout, row, slice, [&](int k) {
    const float value = add_splits(split, row, (first + k) / op.head_dim, (first + k) % op.head_dim);
    out[first + k] = value;
    return value;
  });
}

int splits_of(int num_positions) { return (num_positions + kSplitPositions - 1) / kSplitPositions; }

void allocate_sums(Splits& split, int num_tokens, int num_q_heads, int head_dim, DeviceScratch& scratch) {
  const std::size_t num_rows = std::size_t(num_tokens) * num_q_heads * split.num_splits;
  split.value_sums = scratch.of<float>(num_rows * head_dim);
  split.weight_sums = scratch.of<float>(num_rows);
}

}  // namespace

void count_attention(const StepSize& largest, DeviceScratch& scratch) {
  Splits split{};
  split.num_splits = splits_of(largest.num_positions);
  allocate_sums(split, std::min(kTokensAtOnce, largest.num_tokens), largest.num_q_heads, largest.head_dim, scratch);
}

void CudaBackend::attention(const Attention& op) {
  if (op.head_dim > tile(false).most_dim())
    throw Error(ErrorCode::unsupported, concat("attention on CUDA: expected head_dim to be at most ",
                                               tile(false).most_dim(), ", found ", op.head_dim));
  const int heads_per_kv = op.num_q_heads / op.num_kv_heads;
  const int heads_at_once = tile(is_usual(op.head_dim)).heads;
  const int tokens_at_once = std::min(kTokensAtOnce, op.batch->num_tokens);
  scratch_.clear();
  Splits split{.op = op,
               .batch = *op.batch,
               .first_token = 0,
               .num_splits = splits_of(shape_.num_positions),
               .num_head_blocks = (heads_per_kv + heads_at_once - 1) / heads_at_once,
               .two_over_cap = 2.0f / op.cap,
               .value_sums = nullptr,
               .weight_sums = nullptr};
  allocate_sums(split, tokens_at_once, op.num_q_heads, op.head_dim, scratch_);
  const std::size_t shared_floats = std::size_t(kWarps) * heads_at_once * op.head_dim;

  const Activations out(op.out, op.batch->num_tokens, op.out_quantized);
  for (; split.first_token < op.batch->num_tokens; split.first_token += tokens_at_once) {
    const auto num_tokens = unsigned(std::min(tokens_at_once, op.batch->num_tokens - split.first_token));
    const dim3 blocks(num_tokens, unsigned(op.num_kv_heads * split.num_head_blocks), unsigned(split.num_splits));
    stream_.launch("attention", {.blocks = blocks, .threads = kThreads, .shared_bytes = shared_floats * sizeof(float)},
                   op.kv.type == KvCacheType::f32    ? attend_split_for<KvCacheType::f32>(op.head_dim)
                   : op.kv.type == KvCacheType::bf16 ? attend_split_for<KvCacheType::bf16>(op.head_dim)
                                                     : attend_split_for<KvCacheType::int8>(op.head_dim),
                   split);
    if (out.limbs.num_rows > 0)
      stream_.launch("attention",
                     {.blocks = dim3(num_tokens, unsigned(out.layout.num_slices())), .threads = kMostQuantizeThreads},
                     options_.num_limbs == 2 ? finish_slices<2> : finish_slices<3>, split, out.limbs, out.layout);
    else
      stream_.launch("attention", {.blocks = dim3(num_tokens, unsigned(op.num_q_heads)), .threads = kThreads},
                     finish_heads, split);
  }
}

}  // namespace grok::cuda
