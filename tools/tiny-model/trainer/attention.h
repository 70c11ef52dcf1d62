// Attention of one row of tokens, forward and backward.
//
// Logits are capped at +-30, so their exponentials fit float32 without subtracting the largest. Queries and keys have
// the values of a head in the order 0-15, 32-47, 16-31, 48-63: each block of 32 columns has pairs to rotate.

#pragma once

#include "numbers.h"

struct Rotation {
  std::size_t num_tokens;
  Buffer<float> cosines, sines;  // [num_tokens, 32]

  explicit Rotation(std::size_t tokens) : num_tokens(tokens), cosines(tokens * 32), sines(tokens * 32) {
    for (std::size_t token = 0; token < tokens; token++)
      for (std::size_t i = 0; i < 32; i++) {
        const float angle = float(token) * (1.0f / std::pow(1e4f, float(2 * i) / float(head_dim)));
        cosines[token * 32 + i] = std::cos(angle);
        sines[token * 32 + i] = std::sin(angle);
      }
  }

  // Rotates 16 pairs of the block of columns at `column` of a head; backward with direction -1.
  void apply(__m512& first, __m512& second, std::size_t token, std::size_t column, float direction) const {
    const std::size_t at = token * 32 + column % head_dim / 2;
    const __m512 cosine = load16(cosines + at), sine = _mm512_mul_ps(load16(sines + at), all(direction));
    const __m512 rotated = _mm512_fnmadd_ps(second, sine, _mm512_mul_ps(first, cosine));
    second = _mm512_fmadd_ps(first, sine, _mm512_mul_ps(second, cosine));
    first = rotated;
  }
};

template <class T>
class Attention {
 public:
  explicit Attention(const Rotation& rotation)
      : rotation_(rotation),
        num_tokens_(rotation.num_tokens),
        keys_(num_tokens_ * head_dim),
        values_(num_tokens_ * head_dim),
        queries_(num_tokens_ * head_dim),
        queries_transposed_(num_tokens_ * head_dim),
        gradients_(num_tokens_ * head_dim),
        gradients_transposed_(num_tokens_ * head_dim),
        probabilities_(num_tokens_ * block),
        logit_gradients_(num_tokens_ * block),
        logit_gradients_by_query_(num_tokens_ * num_tokens_),
        key_gradients_(num_tokens_ * head_dim),
        value_gradients_(num_tokens_ * head_dim),
        products_(num_tokens_) {}

  // qkv [num_tokens, qkv_width], rotated; mixed [num_tokens, first_key]; inverse_sums [num_q_heads, num_tokens].
  void forward(const T* qkv, T* mixed, float* inverse_sums) {
    for (std::size_t head = 0; head < num_q_heads; head++) {
      const std::size_t kv_head = head / (num_q_heads / num_kv_heads);
      if (head % (num_q_heads / num_kv_heads) == 0) {
        pack_transposed(keys_, qkv + first_key + kv_head * head_dim, qkv_width, head_dim, num_tokens_);
        pack(values_, qkv + first_value + kv_head * head_dim, qkv_width, num_tokens_, head_dim);
      }
      for (std::size_t first = 0; first < num_tokens_; first += block)
        forward_block(qkv, mixed, inverse_sums, head, first);
    }
  }

  // Gradients of `mixed` to those of `qkv` before the rotation.
  void backward(const T* qkv, const T* mixed, const float* inverse_sums, const T* mixed_gradient, T* qkv_gradient) {
    for (std::size_t kv_head = 0; kv_head < num_kv_heads; kv_head++) {
      const T* keys = qkv + first_key + kv_head * head_dim;
      pack(keys_, keys, qkv_width, num_tokens_, head_dim);
      key_gradients_.clear();
      value_gradients_.clear();
      for (std::size_t i = 0; i < num_q_heads / num_kv_heads; i++) {
        const std::size_t head = kv_head * (num_q_heads / num_kv_heads) + i;
        backward_head(qkv, mixed, inverse_sums + head * num_tokens_, mixed_gradient, head, kv_head);
        for (std::size_t first = 0; first < num_tokens_; first += block)
          multiply(tiled<T>(logit_gradients_by_query_ + first * num_tokens_, num_tokens_), block,
                   Right<T>{keys_, num_tokens_}, head_dim, first + block,
                   [&](std::size_t, std::size_t column, const float* result) {
                     store_unrotated(qkv_gradient + head * head_dim, first, column, result, block);
                   });
      }
      for (std::size_t first = 0; first < num_tokens_; first += block)
        for (std::size_t column = 0; column < head_dim; column += block) {
          const std::size_t at = first * head_dim + column;
          store_unrotated(qkv_gradient + first_key + kv_head * head_dim, first, column, key_gradients_ + at, head_dim);
          T* to = qkv_gradient + first * qkv_width + first_value + kv_head * head_dim + column;
          for (std::size_t j = 0; j < block; j++) {
            const float* from = value_gradients_ + at + j * head_dim;
            store32(to + j * qkv_width, load16(from), load16(from + 16));
          }
        }
    }
  }

 private:
  // With r = 1 / (exp(2 * logit / cap) + 1), the capped logit is cap * (1 - 2r).
  static __m512 cap_share(__m512 product) {
    const __m512 power = _mm512_mul_ps(product, all(2 * attn_logit_scale / attn_logit_cap));
    return reciprocal16(_mm512_add_ps(exp16(power), all(1)));
  }
  static __m512 exp_of_capped(__m512 share) {
    return exp_in_range16(_mm512_fnmadd_ps(share, all(2 * attn_logit_cap), all(attn_logit_cap)));
  }

  void forward_block(const T* qkv, T* mixed, float* inverse_sums, std::size_t head, std::size_t first) {
    __m512 sums[block];
    for (__m512& sum : sums) sum = _mm512_setzero_ps();
    multiply(row_major(qkv + first * qkv_width + head * head_dim, qkv_width), block, Right<T>{keys_, head_dim},
             first + block, head_dim, [&](std::size_t, std::size_t column, const float* result) {
               for (std::size_t i = 0; i < block; i++) {
                 __m512 low = exp_of_capped(cap_share(load16(result + i * block)));
                 __m512 high = exp_of_capped(cap_share(load16(result + i * block + 16)));
                 if (column == first) {
                   const std::uint32_t seen = std::uint32_t((std::uint64_t{2} << i) - 1);
                   low = _mm512_maskz_mov_ps(__mmask16(seen), low);
                   high = _mm512_maskz_mov_ps(__mmask16(seen >> 16), high);
                 }
                 sums[i] = _mm512_add_ps(sums[i], _mm512_add_ps(low, high));
                 store32(probabilities_ + column * block + i * block, low, high);
               }
             });
    float* inverses = inverse_sums + head * num_tokens_ + first;
    for (std::size_t i = 0; i < block; i++) inverses[i] = 1 / _mm512_reduce_add_ps(sums[i]);
    multiply(tiled<T>(probabilities_, num_tokens_), block, Right<T>{values_, num_tokens_}, head_dim, first + block,
             [&](std::size_t, std::size_t column, const float* result) {
               for (std::size_t i = 0; i < block; i++) {
                 const __m512 inverse = all(inverses[i]);
                 store32(mixed + (first + i) * first_key + head * head_dim + column,
                         _mm512_mul_ps(load16(result + i * block), inverse),
                         _mm512_mul_ps(load16(result + i * block + 16), inverse));
               }
             });
  }

  // Fills logit_gradients_by_query_, adds to key_gradients_ and value_gradients_.
  void backward_head(const T* qkv, const T* mixed, const float* inverse_sums, const T* mixed_gradient, std::size_t head,
                     std::size_t kv_head) {
    const T* queries = qkv + head * head_dim;
    const T* gradients = mixed_gradient + head * head_dim;
    pack(queries_, queries, qkv_width, num_tokens_, head_dim);
    pack_transposed(queries_transposed_, queries, qkv_width, head_dim, num_tokens_);
    pack(gradients_, gradients, first_key, num_tokens_, head_dim);
    pack_transposed(gradients_transposed_, gradients, first_key, head_dim, num_tokens_);
    for (std::size_t token = 0; token < num_tokens_; token++) {
      __m512 sum = _mm512_setzero_ps();
      for (std::size_t i = token * first_key; i < token * first_key + head_dim; i += 16)
        sum = _mm512_fmadd_ps(load16(mixed + head * head_dim + i), load16(gradients + i), sum);
      products_[token] = _mm512_reduce_add_ps(sum);
    }

    const Left<T> keys = row_major(qkv + first_key + kv_head * head_dim, qkv_width);
    const Left<T> values = row_major(qkv + first_value + kv_head * head_dim, qkv_width);
    const Right<T> query_columns{queries_transposed_, head_dim}, gradient_columns{gradients_transposed_, head_dim};
    alignas(64) float products[block_values], probability_gradients[block_values];
    for (std::size_t key = 0; key < num_tokens_; key += block) {
      for (std::size_t query = key; query < num_tokens_; query += block) {
        multiply_block(products, keys, keys.at + key * qkv_width, query_columns.chunk(query / block, 0), head_dim);
        multiply_block(probability_gradients, values, values.at + key * qkv_width,
                       gradient_columns.chunk(query / block, 0), head_dim);
        backward_block(products, probability_gradients, inverse_sums + query, products_ + query, key == query,
                       probabilities_ + (query - key) * block, logit_gradients_ + (query - key) * block);
        tile_transposed(logit_gradients_by_query_ + query * num_tokens_ + key * block,
                        logit_gradients_ + (query - key) * block, block, block, block);
      }
      const std::size_t depth = num_tokens_ - key;
      multiply_add(value_gradients_ + key * head_dim, head_dim, tiled<T>(probabilities_, depth), block,
                   Right<T>{gradients_ + key * block, num_tokens_}, head_dim, depth);
      multiply_add(key_gradients_ + key * head_dim, head_dim, tiled<T>(logit_gradients_, depth), block,
                   Right<T>{queries_ + key * block, num_tokens_}, head_dim, depth);
    }
  }

  // Rows are keys, columns are queries.
  static void backward_block(const float* products, const float* probability_gradients, const float* inverse_sums,
                             const float* row_products, bool on_diagonal, T* probabilities, T* logit_gradients) {
    for (std::size_t half = 0; half < block; half += 16) {
      const __m512 inverse = load16(inverse_sums + half), row_product = load16(row_products + half);
      for (std::size_t i = 0; i < block; i++) {
        const std::size_t at = i * block + half;
        const __m512 share = cap_share(load16(products + at));
        __m512 probability = _mm512_mul_ps(exp_of_capped(share), inverse);
        if (on_diagonal)
          probability = _mm512_maskz_mov_ps(__mmask16(~((std::uint64_t{1} << i) - 1) >> half), probability);
        // The derivative of the cap is 1 - tanh^2 = 4r(1 - r).
        const __m512 slope = _mm512_mul_ps(_mm512_fnmadd_ps(share, share, share), all(4 * attn_logit_scale));
        const __m512 difference = _mm512_sub_ps(load16(probability_gradients + at), row_product);
        store16(probabilities + at, probability);
        store16(logit_gradients + at, _mm512_mul_ps(_mm512_mul_ps(probability, difference), slope));
      }
    }
  }

  void store_unrotated(T* to, std::size_t token, std::size_t column, const float* from, std::size_t row_length) {
    for (std::size_t i = 0; i < block; i++) {
      __m512 first = load16(from + i * row_length), second = load16(from + i * row_length + 16);
      rotation_.apply(first, second, token + i, column, -1);
      store32(to + (token + i) * qkv_width + column, first, second);
    }
  }

  const Rotation& rotation_;
  std::size_t num_tokens_;
  Buffer<T> keys_, values_, queries_, queries_transposed_, gradients_, gradients_transposed_;
  Buffer<T> probabilities_, logit_gradients_, logit_gradients_by_query_;
  Buffer<float> key_gradients_, value_gradients_, products_;
};
