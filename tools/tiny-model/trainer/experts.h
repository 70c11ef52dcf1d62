// The router and the experts of a layer, forward and backward.
//
// Rows are sorted by expert; each expert's rows are padded with zeros to a multiple of 32. Columns of the first product
// alternate: 16 of the gate, 16 of the other half.

#pragma once

#include <algorithm>
#include <cstdint>

#include "numbers.h"

constexpr std::size_t depth_at_once = 512;  // rows of a sum over tokens that stay in the second-level cache

// sums [x_width, y_width] += x^T y over `rows` rows.
template <class T>
class OuterProduct {
 public:
  OuterProduct() : left_(depth_at_once * gated_width), right_(depth_at_once * gated_width) {}

  void add(float* sums, const T* x, std::size_t x_width, const T* y, std::size_t y_width, std::size_t rows) {
    for (std::size_t first = 0; first < rows; first += depth_at_once) {
      const std::size_t depth = std::min(depth_at_once, rows - first);
      tile_transposed(left_, x + first * x_width, x_width, depth, x_width);
      pack(right_, y + first * y_width, y_width, depth, y_width);
      multiply_add(sums, y_width, tiled<T>(left_, depth), x_width, Right<T>{right_, depth}, y_width, depth);
    }
  }

 private:
  Buffer<T> left_, right_;
};

template <class T>
struct ExpertWeights {
  const T *gate_up, *gate_up_transposed, *down, *down_transposed;
};

// Values of a layer's forward pass that its backward pass reads.
template <class T>
struct Routing {
  std::size_t num_tokens = 0;
  Buffer<float> probabilities;  // [num_tokens, num_experts]
  Buffer<float> log_sums;       // [num_tokens]
  Buffer<std::int32_t> chosen;  // [num_tokens, experts_per_token]
  Buffer<std::int32_t> places;  // [num_tokens, experts_per_token], rows of the sorted order
  std::size_t counts[num_experts] = {}, first_rows[num_experts + 1] = {};
  Buffer<T> gate_up;  // [rows, gated_width]
  Buffer<T> outputs;  // [rows, d_model]

  explicit Routing(std::size_t most_tokens)
      : probabilities(most_tokens * num_experts),
        log_sums(most_tokens),
        chosen(most_tokens * experts_per_token),
        places(most_tokens * experts_per_token),
        gate_up(most_rows(most_tokens) * gated_width),
        outputs(most_rows(most_tokens) * d_model) {}

  static std::size_t most_rows(std::size_t num_tokens) { return experts_per_token * num_tokens + num_experts * block; }

  float load(std::size_t expert) const { return float(counts[expert]) / float(num_tokens * experts_per_token); }

  // router [num_experts, d_model]
  void choose(const T* x, std::size_t tokens, const float* router) {
    num_tokens = tokens;
    std::fill(counts, counts + num_experts, 0);
    for (std::size_t token = 0; token < tokens; token++) {
      const Row row = load_row(x + token * d_model);
      alignas(64) float logits[16];
      std::fill(logits, logits + 16, -1e30f);
      for (std::size_t expert = 0; expert < num_experts; expert++)
        logits[expert] = dot(row, load_row(router + expert * d_model));
      const float largest = *std::max_element(logits, logits + num_experts);
      const __m512 exponentials = exp16(_mm512_sub_ps(load16(logits), all(largest)));
      const float sum = _mm512_reduce_add_ps(exponentials);
      float* shares = probabilities + token * num_experts;
      _mm512_mask_storeu_ps(shares, 0xff, _mm512_mul_ps(exponentials, all(1 / sum)));
      log_sums[token] = largest + std::log(sum);
      std::size_t first = 0, second = num_experts;
      for (std::size_t expert = 1; expert < num_experts; expert++)
        if (logits[expert] > logits[first]) {
          second = first;
          first = expert;
        } else if (second == num_experts || logits[expert] > logits[second]) {
          second = expert;
        }
      chosen[token * 2] = std::int32_t(first);
      chosen[token * 2 + 1] = std::int32_t(second);
      counts[first]++;
      counts[second]++;
    }
    std::size_t next[num_experts];
    for (std::size_t expert = 0; expert < num_experts; expert++) {
      next[expert] = first_rows[expert];
      first_rows[expert + 1] = first_rows[expert] + (counts[expert] + block - 1) / block * block;
    }
    for (std::size_t i = 0; i < tokens * experts_per_token; i++) places[i] = std::int32_t(next[chosen[i]]++);
  }

  // 1 if the load is even.
  float balance() const {
    float sums[num_experts] = {}, result = 0;
    for (std::size_t i = 0; i < num_tokens * num_experts; i++) sums[i % num_experts] += probabilities[i];
    for (std::size_t expert = 0; expert < num_experts; expert++)
      result += num_experts * load(expert) * sums[expert] / float(num_tokens);
    return result;
  }

  float router_z() const {
    double sum = 0;
    for (std::size_t token = 0; token < num_tokens; token++) sum += double(log_sums[token]) * log_sums[token];
    return float(sum / double(num_tokens));
  }
};

template <class T>
class Experts {
 public:
  explicit Experts(std::size_t most_tokens)
      : sorted_(Routing<T>::most_rows(most_tokens) * d_model),
        hidden_(Routing<T>::most_rows(most_tokens) * d_ff),
        output_gradients_(Routing<T>::most_rows(most_tokens) * d_model),
        gate_up_gradients_(Routing<T>::most_rows(most_tokens) * gated_width),
        input_gradients_(Routing<T>::most_rows(most_tokens) * d_model),
        router_gradients_(most_tokens * num_experts) {}

  void forward(const T* x, Routing<T>& routing, const ExpertWeights<T>* weights) {
    sort(x, routing);
    for (std::size_t expert = 0; expert < num_experts; expert++) {
      const std::size_t first = routing.first_rows[expert], rows = routing.first_rows[expert + 1] - first;
      T* gate_up = routing.gate_up + first * gated_width;
      T* outputs = routing.outputs + first * d_model;
      multiply(row_major<T>(sorted_ + first * d_model, d_model), rows, Right<T>{weights[expert].gate_up, d_model},
               gated_width, d_model, [&](std::size_t row, std::size_t column, const float* result) {
                 for (std::size_t i = 0; i < block; i++) {
                   const __m512 gate = load16(result + i * block), up = load16(result + i * block + 16);
                   store32(gate_up + (row + i) * gated_width + column, gate, up);
                   store16(hidden_ + (row + i) * d_ff + column / 2,
                           _mm512_mul_ps(_mm512_mul_ps(gate, gelu_share(gate)), up));
                 }
               });
      multiply(row_major<T>(hidden_, d_ff), rows, Right<T>{weights[expert].down, d_ff}, d_model, d_ff,
               [&](std::size_t row, std::size_t column, const float* result) {
                 for (std::size_t i = 0; i < block; i++)
                   store32(outputs + (row + i) * d_model + column, load16(result + i * block),
                           load16(result + i * block + 16));
               });
    }
  }

  static Row output(const Routing<T>& routing, std::size_t token) {
    Row sum{};
    for (std::size_t i = token * experts_per_token; i < (token + 1) * experts_per_token; i++)
      sum = sum_of_product(load_row(routing.outputs + routing.places[i] * d_model), gate(routing, i), sum);
    return sum;
  }

  // Before backward(): takes the gradient of each token's output. The factors are those of the router's two losses.
  void begin_backward() { output_gradients_.clear(); }
  void take_gradient(const Routing<T>& routing, std::size_t token, const Row& gradient, float balance_factor,
                     float router_z_factor) {
    const float* shares = routing.probabilities + token * num_experts;
    float share_gradients[num_experts], mean = 0;
    for (std::size_t expert = 0; expert < num_experts; expert++)
      share_gradients[expert] = balance_factor * num_experts * routing.load(expert) / float(routing.num_tokens);
    for (std::size_t i = token * experts_per_token; i < (token + 1) * experts_per_token; i++) {
      const std::size_t row = routing.places[i] * d_model;
      share_gradients[routing.chosen[i]] += dot(gradient, load_row(routing.outputs + row));
      store_row(output_gradients_ + row, product(gradient, gate(routing, i)));
    }
    for (std::size_t expert = 0; expert < num_experts; expert++) mean += shares[expert] * share_gradients[expert];
    const float log_sum_gradient = router_z_factor * 2 * routing.log_sums[token] / float(routing.num_tokens);
    for (std::size_t expert = 0; expert < num_experts; expert++)
      router_gradients_[token * num_experts + expert] =
          shares[expert] * (share_gradients[expert] - mean + log_sum_gradient);
  }

  // gate_up_sums [num_experts, d_model, gated_width] and down_sums [num_experts, d_ff, d_model] are added to.
  void backward(const T* x, const Routing<T>& routing, const ExpertWeights<T>* weights, float* gate_up_sums,
                float* down_sums, OuterProduct<T>& outer) {
    sort(x, routing);
    for (std::size_t expert = 0; expert < num_experts; expert++) {
      const std::size_t first = routing.first_rows[expert], rows = routing.first_rows[expert + 1] - first;
      const T* gate_up = routing.gate_up + first * gated_width;
      const T* output_gradients = output_gradients_ + first * d_model;
      T* input_gradients = input_gradients_ + first * d_model;
      multiply(
          row_major(output_gradients, d_model), rows, Right<T>{weights[expert].down_transposed, d_model}, d_ff, d_model,
          [&](std::size_t row, std::size_t column, const float* result) {
            for (std::size_t i = 0; i < block; i++)
              for (std::size_t half = 0; half < block; half += 16) {
                const std::size_t at = (row + i) * gated_width + 2 * (column + half);
                const __m512 gate = load16(gate_up + at), up = load16(gate_up + at + 16);
                const __m512 gradient = load16(result + i * block + half), share = gelu_share(gate);
                const __m512 gelu = _mm512_mul_ps(gate, share);
                store16(hidden_ + (row + i) * d_ff + column + half, _mm512_mul_ps(gelu, up));
                store32(gate_up_gradients_ + at, _mm512_mul_ps(_mm512_mul_ps(gradient, up), gelu_slope(gate, share)),
                        _mm512_mul_ps(gradient, gelu));
              }
          },
          [=](std::size_t row, std::size_t column) {
            for (std::size_t i = 0; i < block; i++) prefetch_line_pair(gate_up + (row + i) * gated_width + 2 * column);
          });
      multiply(row_major<T>(gate_up_gradients_, gated_width), rows,
               Right<T>{weights[expert].gate_up_transposed, gated_width}, d_model, gated_width,
               [&](std::size_t row, std::size_t column, const float* result) {
                 for (std::size_t i = 0; i < block; i++)
                   store32(input_gradients + (row + i) * d_model + column, load16(result + i * block),
                           load16(result + i * block + 16));
               });
      outer.add(down_sums + expert * d_ff * d_model, hidden_, d_ff, output_gradients, d_model, rows);
      outer.add(gate_up_sums + expert * d_model * gated_width, sorted_ + first * d_model, d_model, gate_up_gradients_,
                gated_width, rows);
    }
  }

  // After backward(): the gradient of a token's input. Adds to router_sums [num_experts, d_model].
  Row input_gradient(const T* x, const Routing<T>& routing, std::size_t token, const float* router,
                     float* router_sums) const {
    Row sum{};
    for (std::size_t i = token * experts_per_token; i < (token + 1) * experts_per_token; i++) {
      const Row row = load_row(input_gradients_ + routing.places[i] * d_model);
      for (std::size_t j = 0; j < row_vectors; j++) sum[j] = _mm512_add_ps(sum[j], row[j]);
    }
    const Row input = load_row(x + token * d_model);
    for (std::size_t expert = 0; expert < num_experts; expert++) {
      const __m512 gradient = all(router_gradients_[token * num_experts + expert]);
      for (std::size_t j = 0; j < row_vectors; j++) {
        sum[j] = _mm512_fmadd_ps(gradient, load16(router + expert * d_model + 16 * j), sum[j]);
        float* to = router_sums + expert * d_model + 16 * j;
        store16(to, _mm512_fmadd_ps(gradient, input[j], load16(to)));
      }
    }
    return sum;
  }

 private:
  static Row gate(const Routing<T>& routing, std::size_t i) {
    const __m512 share = all(routing.probabilities[i / experts_per_token * num_experts + routing.chosen[i]]);
    Row row;
    for (std::size_t j = 0; j < row_vectors; j++) row[j] = share;
    return row;
  }

  void sort(const T* x, const Routing<T>& routing) {
    for (std::size_t expert = 0; expert < num_experts; expert++) {
      const std::size_t end = routing.first_rows[expert] + routing.counts[expert];
      std::memset(static_cast<void*>(sorted_ + end * d_model), 0,
                  (routing.first_rows[expert + 1] - end) * d_model * sizeof(T));
    }
    for (std::size_t i = 0; i < routing.num_tokens * experts_per_token; i++)
      std::memcpy(static_cast<void*>(sorted_ + routing.places[i] * d_model), x + i / experts_per_token * d_model,
                  d_model * sizeof(T));
  }

  Buffer<T> sorted_, hidden_, output_gradients_, gate_up_gradients_, input_gradients_;
  Buffer<float> router_gradients_;
};
