#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kv_page.h"
#include "backend/cuda/product.h"

namespace grok::cuda {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;

struct Finish {
  float* q;  // [num_tokens, num_q_heads, head_dim]
  KvPages kv;
  ProductResult q_product, k_product, v_product;
  Batch batch;
  const float* rotation;  // [positions, head_dim / 2, 2]: cosine and sine
  int num_q_heads, num_kv_heads, head_dim;
};

// The larger of two magnitudes. Their bits sort like the magnitudes, with NaN last, so that overflow reaches the
// logits.
__device__ inline float larger(float a, float b) {
  return __uint_as_float(max(__float_as_uint(a), __float_as_uint(b)));
}

// One warp a head of a token, one lane a pair of its values: rotates, writes to q or to the cache. Source of the rotation: xai-org/grok-1 model.py:RotaryEmbedding, rotate_half
__global__ void __launch_bounds__(kThreads) finish_qkv(Finish op) {
  pdl_sync();
  const int warp = int(threadIdx.x) / kWarpSize, lane = int(threadIdx.x) % kWarpSize;
  const int token = int(blockIdx.x), index = int(blockIdx.y) * kWarps + warp, half = op.head_dim / 2;
  if (index >= op.num_q_heads + 2 * op.num_kv_heads) return;
  const int position = op.batch.positions[token];
  const std::int32_t* pages = op.batch.page_tables + std::size_t(op.batch.sequences[token]) * op.batch.max_pages;
  const float* rotation = op.rotation + std::size_t(position) * op.head_dim;

  const bool is_q = index < op.num_q_heads, is_value = index >= op.num_q_heads + op.num_kv_heads;
  const int head = is_q ? index : is_value ? index - op.num_q_heads - op.num_kv_heads : index - op.num_q_heads;
  const ProductResult& product = is_q ? op.q_product : is_value ? op.v_product : op.k_product;
  // Returns values i and i + half of the head.
  const auto pair_at = [&](int i) {
    const float a = product.at(token, head * op.head_dim + i), b = product.at(token, head * op.head_dim + half + i);
    if (is_value) return make_float2(a, b);
    const float cosine = rotation[2 * i], sine = rotation[2 * i + 1];
    return make_float2(a * cosine - b * sine, b * cosine + a * sine);
  };
  if (is_q) {
    float* const to = op.q + (std::size_t(token) * op.num_q_heads + head) * op.head_dim;
    for (int i = lane; i < half; i += kWarpSize) {
      const float2 pair = pair_at(i);
      to[i] = pair.x;
      to[i + half] = pair.y;
    }
    return;
  }

  const KvHead to = kv_head(is_value ? op.kv.values : op.kv.keys, op.kv.type, pages[position / kPageSize], head,
                            op.num_kv_heads, op.head_dim);
  const int place = position % kPageSize;
  float scale = 0;
  if (op.kv.type == KvCacheType::int8) {
    float largest = 0;
    for (int i = lane; i < half; i += kWarpSize) {
      const float2 pair = pair_at(i);
      largest = larger(largest, larger(fabsf(pair.x), fabsf(pair.y)));
    }
    scale = warp_reduce(largest, [](float a, float b) { return larger(a, b); }) / 127;
    if (lane == 0) to.scale(place) = scale;
  }
  for (int i = lane; i < half; i += kWarpSize) {
    const float2 pair = pair_at(i);
    write_kv(to, op.kv.type, place, i, pair.x, scale);
    write_kv(to, op.kv.type, place, i + half, pair.y, scale);
  }
}

}  // namespace

// Returns cosines and sines of all positions so far, on the device. The angles are double: in float32, as in the
// reference, the error is up to 1e-3 at position 8191.
const float* CudaBackend::rotation(int num_positions, int head_dim, float rope_base) {
  if (std::size_t(num_positions) * head_dim > rotation_.size()) {
    constexpr int kAtOnce = 1024;  // grows in large pieces, so that only few steps of a long text wait for a copy
    const int rounded = (num_positions + kAtOnce - 1) / kAtOnce * kAtOnce;
    num_positions = num_positions <= most_positions_ ? std::min(rounded, most_positions_) : rounded;
    for (int position = int(rotation_.size()) / head_dim; position < num_positions; ++position)
      for (int i = 0; i < head_dim / 2; ++i) {
        const double angle = position * std::pow(double(rope_base), -2.0 * i / head_dim);
        rotation_.push_back(float(std::cos(angle)));
        rotation_.push_back(float(std::sin(angle)));
      }
    const std::size_t size_bytes = rotation_.size() * sizeof(float);
    stream_.synchronize();  // kernels may still read the old one
    if (!device_rotation_ || device_rotation_->size_bytes() < size_bytes)
      device_rotation_ = std::make_unique<DeviceMemory>(size_bytes);
    std::byte* const pinned = pinned_.of(size_bytes);
    std::memcpy(pinned, rotation_.data(), size_bytes);
    stream_.copy_to_device(device_rotation_->data(), pinned, size_bytes);
    stream_.synchronize();
  }
  return device_rotation_->as<float>();
}

void CudaBackend::qkv(const Qkv& op) {
  const auto& w_q = static_cast<const CudaMatrix&>(*op.w_q);
  const auto& w_k = static_cast<const CudaMatrix&>(*op.w_k);
  const auto& w_v = static_cast<const CudaMatrix&>(*op.w_v);
  const float* const cosines_and_sines = rotation(shape_.num_positions, op.head_dim, op.rope_base);
  const CudaMatrix* const matrices[] = {&w_q, &w_k, &w_v};
  const Activations x(op.x, op.batch->num_tokens, op.x_quantized);
  for (int first = 0; first < op.batch->num_tokens; first += kTokensAtOnce) {
    Batch batch = *op.batch;
    batch.num_tokens = std::min(kTokensAtOnce, batch.num_tokens - first);
    batch.positions += first;
    batch.sequences += first;
    scratch_.clear();
    const Products products =
        multiply(matrices, x.part(first, batch.num_tokens, w_q.d_in), options_.num_limbs,
                 all_positions(batch.num_tokens, options_.num_limbs), traits_.num_multiprocessors, scratch_, stream_);
    const int num_heads = op.num_q_heads + 2 * op.num_kv_heads;
    const dim3 blocks(unsigned(batch.num_tokens), unsigned((num_heads + kWarps - 1) / kWarps));
    stream_.launch("qkv", {.blocks = blocks, .threads = kThreads}, finish_qkv,
                   Finish{.q = op.q + std::size_t(first) * op.num_q_heads * op.head_dim,
                          .kv = op.kv,
                          .q_product = products[0],
                          .k_product = products[1],
                          .v_product = products[2],
                          .batch = batch,
                          .rotation = cosines_and_sines,
                          .num_q_heads = op.num_q_heads,
                          .num_kv_heads = op.num_kv_heads,
                          .head_dim = op.head_dim});
  }
}

}  // namespace grok::cuda
