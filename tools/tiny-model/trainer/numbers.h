// Element-wise functions, the shape of the network, and norms of a row.

#pragma once

#include <sys/mman.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#include "product.h"

constexpr std::size_t d_model = 256, head_dim = 64, num_q_heads = 4, num_kv_heads = 2, d_ff = 256, num_experts = 8;
constexpr std::size_t vocab_size = 4096, qkv_width = (num_q_heads + 2 * num_kv_heads) * head_dim;
constexpr std::size_t first_key = num_q_heads * head_dim, first_value = first_key + num_kv_heads * head_dim;
constexpr std::size_t experts_per_token = 2, gated_width = 2 * d_ff;
constexpr float norm_eps = 1e-5f, attn_logit_cap = 30, attn_logit_scale = 0.125f, embedding_scale = 16;
constexpr float logit_scale = 0.5773502691896257f;

// Zeroed memory, in huge pages if the system has them.
template <class T>
class Buffer {
 public:
  explicit Buffer(std::size_t size = 0) : size_(size) {
    if (size == 0) return;
    constexpr std::size_t page = std::size_t{2} << 20;
    const std::size_t alignment = size * sizeof(T) < page ? 64 : page;
    const std::size_t bytes = (size * sizeof(T) + alignment - 1) / alignment * alignment;
    at_ = static_cast<T*>(std::aligned_alloc(alignment, bytes));
    if (!at_) throw std::bad_alloc();
    if (alignment == page) madvise(at_, bytes, MADV_HUGEPAGE);
    std::memset(static_cast<void*>(at_), 0, bytes);
  }
  Buffer(Buffer&& other) noexcept : at_(other.at_), size_(other.size_) { other.at_ = nullptr; }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() { std::free(at_); }

  operator T*() const { return at_; }
  std::size_t size() const { return size_; }
  void clear() { std::memset(static_cast<void*>(at_), 0, size_ * sizeof(T)); }

 private:
  T* at_ = nullptr;
  std::size_t size_;
};

inline __m512 all(float value) { return _mm512_set1_ps(value); }

// exp(x) of x between -87 and 88: 2^whole * 2^part, the latter by a polynomial (relative error 1e-7).
inline __m512 exp_in_range16(__m512 x) {
  const __m512 to_whole = all(12582912);  // 1.5 * 2^23: adding it rounds to a whole number, in the lowest bits
  const __m512 shifted = _mm512_fmadd_ps(x, all(1.44269504088896341f), to_whole);
  const __m512 part = _mm512_fmsub_ps(x, all(1.44269504088896341f), _mm512_sub_ps(shifted, to_whole));
  __m512 result = all(1.3276457320898771e-3f);
  result = _mm512_fmadd_ps(result, part, all(9.675540961325169e-3f));
  result = _mm512_fmadd_ps(result, part, all(5.550713464617729e-2f));
  result = _mm512_fmadd_ps(result, part, all(2.4022120237350464e-1f));
  result = _mm512_fmadd_ps(result, part, all(6.931469440460205e-1f));
  result = _mm512_fmadd_ps(result, part, all(1));
  const __m512i whole = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
  return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(result), whole));
}

inline __m512 exp16(__m512 x) { return exp_in_range16(_mm512_max_ps(_mm512_min_ps(x, all(80)), all(-80))); }

inline __m512 reciprocal16(__m512 x) {
  const __m512 estimate = _mm512_rcp14_ps(x);
  return _mm512_mul_ps(estimate, _mm512_fnmadd_ps(x, estimate, all(2)));
}

constexpr float gelu_scale = 0.7978845608028654f, gelu_cubic = 0.044715f;

// gelu by tanh is x * sigmoid(2 * gelu_scale * (x + gelu_cubic * x^3)); this is the sigmoid.
inline __m512 gelu_share(__m512 x) {
  const __m512 factor = _mm512_fmadd_ps(_mm512_mul_ps(x, x), all(-2 * gelu_scale * gelu_cubic), all(-2 * gelu_scale));
  return reciprocal16(_mm512_add_ps(all(1), exp16(_mm512_mul_ps(x, factor))));
}

inline __m512 gelu_slope(__m512 x, __m512 share) {
  const __m512 inner = _mm512_fmadd_ps(_mm512_mul_ps(x, x), all(6 * gelu_scale * gelu_cubic), all(2 * gelu_scale));
  const __m512 share_slope = _mm512_mul_ps(_mm512_fnmadd_ps(share, share, share), inner);
  return _mm512_fmadd_ps(x, share_slope, share);
}

// ---------------------------------------------------------------- rows of d_model values

constexpr std::size_t row_vectors = d_model / 16;

struct Row {
  __m512 values[row_vectors];

  __m512& operator[](std::size_t i) { return values[i]; }
  const __m512& operator[](std::size_t i) const { return values[i]; }
};

template <class T>
Row load_row(const T* from) {
  Row row;
  for (std::size_t i = 0; i < row_vectors; i++) row[i] = load16(from + 16 * i);
  return row;
}

template <class T>
void store_row(T* to, const Row& row) {
  for (std::size_t i = 0; i < row_vectors; i += 2) store32(to + 16 * i, row[i], row[i + 1]);
}

inline float dot(const Row& a, const Row& b) {
  __m512 sums[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  for (std::size_t i = 0; i < row_vectors; i++) sums[i % 2] = _mm512_fmadd_ps(a[i], b[i], sums[i % 2]);
  return _mm512_reduce_add_ps(_mm512_add_ps(sums[0], sums[1]));
}

inline Row scaled(const Row& row, float factor) {
  Row result;
  for (std::size_t i = 0; i < row_vectors; i++) result[i] = _mm512_mul_ps(row[i], all(factor));
  return result;
}

inline Row product(const Row& a, const Row& b) {
  Row result;
  for (std::size_t i = 0; i < row_vectors; i++) result[i] = _mm512_mul_ps(a[i], b[i]);
  return result;
}

inline Row sum_of_product(const Row& a, const Row& b, const Row& c) {
  Row result;
  for (std::size_t i = 0; i < row_vectors; i++) result[i] = _mm512_fmadd_ps(a[i], b[i], c[i]);
  return result;
}

// A norm without its scale, as it is kept for the way back.
template <class T>
struct Norm {
  T* rows;         // [num_tokens, d_model], normed
  float* factors;  // [num_tokens], one over the root mean square

  Row forward(std::size_t token, const Row& x) const {
    const float factor = 1 / std::sqrt(dot(x, x) / d_model + norm_eps);
    const Row normed = scaled(x, factor);
    store_row(rows + token * d_model, normed);
    factors[token] = factor;
    return normed;
  }

  // From the gradient of the normed row to that of the row.
  Row backward(std::size_t token, const Row& gradient) const {
    const Row normed = load_row(rows + token * d_model);
    const Row along = scaled(normed, -dot(gradient, normed) / d_model);
    Row result;
    for (std::size_t i = 0; i < row_vectors; i++)
      result[i] = _mm512_mul_ps(_mm512_add_ps(gradient[i], along[i]), all(factors[token]));
    return result;
  }

  // The norm after a branch: adds the gradient of its scale to `scale_gradient`.
  Row backward(std::size_t token, const Row& gradient, const float* scale, float* scale_gradient) const {
    const Row normed = load_row(rows + token * d_model);
    store_row(scale_gradient, sum_of_product(gradient, normed, load_row(scale_gradient)));
    return backward(token, product(gradient, load_row(scale)));
  }
};
