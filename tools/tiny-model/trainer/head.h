// The last product, to logits, and the cross entropy, forward and backward.

#pragma once

#include "numbers.h"

template <class T>
class Head {
 public:
  Head()
      : exponentials_(most_tokens * vocab_size),
        exponentials_transposed_(most_tokens * vocab_size),
        scaled_(most_tokens * d_model),
        scaled_packed_(most_tokens * d_model),
        sums_(most_tokens * 16) {}

  // x [num_tokens, d_model]. `columns` holds the embeddings as columns, `rows` as rows. Returns the sum of nats. Unless
  // x_gradient is null, fills it and adds to embedding_sums [vocab_size, d_model]; both are multiplied by `factor`.
  double run(const T* x, const std::int64_t* targets, std::size_t num_tokens, const T* columns, const T* rows,
             float factor, float* x_gradient, float* embedding_sums) {
    double nats = 0;
    for (std::size_t first = 0; first < num_tokens; first += most_tokens) {
      const std::size_t tokens = std::min(most_tokens, num_tokens - first);
      nats += forward(x + first * d_model, targets + first, tokens, columns);
      if (x_gradient)
        backward(x + first * d_model, targets + first, tokens, rows, factor, x_gradient + first * d_model,
                 embedding_sums);
    }
    return nats;
  }

 private:
  static constexpr std::size_t most_tokens = 256;  // at once

  double forward(const T* x, const std::int64_t* targets, std::size_t tokens, const T* columns) {
    sums_.clear();
    multiply<true>(row_major(x, d_model), tokens, Right<T>{columns, d_model}, vocab_size, d_model,
                   [&](std::size_t row, std::size_t column, const float* result) {
                     T* to = exponentials_ + row * vocab_size + column * block;
                     for (std::size_t i = 0; i < block; i++) {
                       // Logits of a trained network are far below 80, where exp16() stops.
                       const __m512 low = exp16(load16(result + i * block));
                       const __m512 high = exp16(load16(result + i * block + 16));
                       float* sum = sums_ + (row + i) * 16;
                       store16(sum, _mm512_add_ps(load16(sum), _mm512_add_ps(low, high)));
                       store32(to + i * block, low, high);
                       const std::size_t target = std::size_t(targets[row + i]) - column;
                       if (target < block) target_logits_[row + i] = result[i * block + target];
                     }
                   });
    double nats = 0;
    for (std::size_t token = 0; token < tokens; token++) {
      totals_[token] = _mm512_reduce_add_ps(load16(sums_ + token * 16));
      nats += std::log(double(totals_[token])) - target_logits_[token];
    }
    return nats;
  }

  void backward(const T* x, const std::int64_t* targets, std::size_t tokens, const T* rows, float factor,
                float* x_gradient, float* embedding_sums) {
    // The gradient of the logits is (exponentials - total at the target) * factor / total. Its last factor, one of each
    // token, is applied to the narrow matrices.
    for (std::size_t token = 0; token < tokens; token++) {
      const std::size_t column = std::size_t(targets[token]);
      const std::size_t at =
          token / block * block * vocab_size + column / block * block_values + token % block * block + column % block;
      const float value = _mm512_cvtss_f32(exp16(all(target_logits_[token]))) - totals_[token];
      alignas(64) T rounded[16];
      store16(rounded, all(value));
      exponentials_[at] = rounded[0];
      store_row(scaled_ + token * d_model, scaled(load_row(x + token * d_model), factor / totals_[token]));
    }

    std::memset(x_gradient, 0, tokens * d_model * sizeof(float));
    constexpr std::size_t depth = 512;
    for (std::size_t first = 0; first < vocab_size; first += depth)
      multiply_add(x_gradient, d_model, Left<T>{exponentials_ + first * block, block, block_values, block * vocab_size},
                   tokens, Right<T>{rows + first * block, vocab_size}, d_model, depth);
    for (std::size_t token = 0; token < tokens; token++) {
      float* row = x_gradient + token * d_model;
      store_row(row, scaled(load_row(row), factor / totals_[token]));
    }

    for (std::size_t column = 0; column < vocab_size; column += block)
      for (std::size_t row = 0; row < tokens; row += block)
        tile_transposed(exponentials_transposed_ + column * tokens + row * block,
                        exponentials_ + row * vocab_size + column * block, block, block, block);
    pack(scaled_packed_, scaled_, d_model, tokens, d_model);
    multiply_add(embedding_sums, d_model, tiled<T>(exponentials_transposed_, tokens), vocab_size,
                 Right<T>{scaled_packed_, tokens}, d_model, tokens);
  }

  Buffer<T> exponentials_, exponentials_transposed_, scaled_, scaled_packed_;
  Buffer<float> sums_;
  float totals_[most_tokens] = {}, target_logits_[most_tokens] = {};
};
