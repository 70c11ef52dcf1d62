#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "backend/backend.h"

// Memory layout of one kv head's share of a page, the same for keys and values: [kPageSize, head_dim] elements. Int8
// elements are followed by the scales of their positions, f32 [kPageSize].
namespace grok::cuda {

__host__ __device__ inline std::size_t kv_element_bytes(KvCacheType type) {
  return type == KvCacheType::f32 ? 4 : type == KvCacheType::bf16 ? 2 : 1;
}

__host__ __device__ inline std::size_t kv_head_bytes(KvCacheType type, int head_dim) {
  return kPageSize * (kv_element_bytes(type) * head_dim + (type == KvCacheType::int8 ? sizeof(float) : 0));
}

// Keys or values of a head.
struct KvHead {
  std::byte* data;
  int head_dim;

  __host__ __device__ float& scale(int position) const {
    return reinterpret_cast<float*>(data + std::size_t(kPageSize) * head_dim)[position];
  }
  template <typename Element>
  __host__ __device__ Element& at(int position, int i) const {
    return reinterpret_cast<Element*>(data)[position * head_dim + i];
  }
};

__host__ __device__ inline KvHead kv_head(std::byte* pages, KvCacheType type, int page, int head, int num_heads,
                                          int head_dim) {
  return {pages + (std::size_t(page) * num_heads + head) * kv_head_bytes(type, head_dim), head_dim};
}

// Rounds to nearest, ties to even.
__device__ inline std::uint16_t rounded_bf16(float value) {
  const unsigned bits = __float_as_uint(value);
  if (value != value) return std::uint16_t(bits >> 16 | 0x0040);
  return std::uint16_t((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

// Loads two elements from an even `i` on at once; int8 without their scale.
template <KvCacheType kType>
__device__ float2 read_kv_pair(const KvHead& head, int position, int i) {
  if constexpr (kType == KvCacheType::f32) return *reinterpret_cast<const float2*>(&head.at<float>(position, i));
  if constexpr (kType == KvCacheType::bf16) {
    const unsigned bits = *reinterpret_cast<const unsigned*>(&head.at<std::uint16_t>(position, i));
    return make_float2(__uint_as_float(bits << 16), __uint_as_float(bits & 0xffff0000u));
  }
  if constexpr (kType == KvCacheType::int8) {
    const unsigned bits = *reinterpret_cast<const std::uint16_t*>(&head.at<std::int8_t>(position, i));
    return make_float2(float(std::int8_t(bits)), float(std::int8_t(bits >> 8)));
  }
}

// Loads four elements from a multiple of four on, if the row length is a multiple of four: one load of 16, 8 or 4
// bytes.
template <KvCacheType kType>
__device__ float4 read_kv_quad(const KvHead& head, int position, int i) {
  if constexpr (kType == KvCacheType::f32) return *reinterpret_cast<const float4*>(&head.at<float>(position, i));
  if constexpr (kType == KvCacheType::bf16) {
    const uint2 bits = *reinterpret_cast<const uint2*>(&head.at<std::uint16_t>(position, i));
    return make_float4(__uint_as_float(bits.x << 16), __uint_as_float(bits.x & 0xffff0000u),
                       __uint_as_float(bits.y << 16), __uint_as_float(bits.y & 0xffff0000u));
  }
  if constexpr (kType == KvCacheType::int8) {
    const unsigned bits = *reinterpret_cast<const unsigned*>(&head.at<std::int8_t>(position, i));
    return make_float4(float(std::int8_t(bits)), float(std::int8_t(bits >> 8)), float(std::int8_t(bits >> 16)),
                       float(std::int8_t(bits >> 24)));
  }
}

// `scale` is that of an int8 position: its largest magnitude / 127.
__device__ inline void write_kv(const KvHead& head, KvCacheType type, int position, int i, float value, float scale) {
  switch (type) {
    case KvCacheType::f32: head.at<float>(position, i) = value; break;
    case KvCacheType::bf16: head.at<std::uint16_t>(position, i) = rounded_bf16(value); break;
    case KvCacheType::int8:
      head.at<std::int8_t>(position, i) =
          scale > 0 ? std::int8_t(fminf(fmaxf(rintf(value / scale), -127.0f), 127.0f)) : std::int8_t(0);
      break;
  }
}

}  // namespace grok::cuda
