// Weights in the order of the products, and the sums of their gradients.
//
// The scale of a norm before a product is part of the product's matrix. So the gradient of that matrix gives both: the
// scale's is the sum of a row of weight * gradient.

#pragma once

#include <vector>

#include "experts.h"

// Float32 arrays of the caller, in this order.
struct Parameters {
  struct Layer {
    float *query, *key, *value, *linear, *router, *moe_linear, *moe_linear_v, *moe_linear_1;
    float *rms_norm, *rms_norm_1, *rms_norm_2, *rms_norm_3;
  };
  float *embeddings, *final_norm;
  const Layer* layers;

  explicit Parameters(float* const* arrays)
      : embeddings(arrays[0]), final_norm(arrays[1]), layers(reinterpret_cast<const Layer*>(arrays + 2)) {}
};

// 16 columns of a folded matrix, where they are in a parameter.
struct Run {
  float* at;
  std::size_t row_length;
};

inline Run run_of_qkv(const Parameters::Layer& layer, std::size_t run) {
  const std::size_t head = run / 4, part = run % 4;
  const std::size_t in_head = head < num_q_heads + num_kv_heads ? part / 2 * 16 + part % 2 * 32 : part * 16;
  if (head < num_q_heads) return {layer.query + head * head_dim + in_head, num_q_heads * head_dim};
  float* of_kv_heads = head < num_q_heads + num_kv_heads ? layer.key : layer.value;
  return {of_kv_heads + (head - num_q_heads) % num_kv_heads * head_dim + in_head, num_kv_heads * head_dim};
}

inline Run run_of_gate_up(const Parameters::Layer& layer, std::size_t expert, std::size_t run) {
  float* matrix = run % 2 == 0 ? layer.moe_linear : layer.moe_linear_v;
  return {matrix + expert * d_model * d_ff + run / 2 * 16, d_ff};
}

template <class T>
struct Matrix {
  Buffer<T> forward, transposed;

  Matrix(std::size_t size) : forward(size), transposed(size) {}

  // `run_of(run)` gives columns 16 * run and on; row i is multiplied by scale[i].
  template <class RunOf>
  void fold(std::size_t index, T* scratch, std::size_t depth, std::size_t columns, const float* scale, RunOf run_of) {
    for (std::size_t run = 0; run < columns / 16; run++) {
      const Run from = run_of(run);
      for (std::size_t row = 0; row < depth; row++)
        store16(scratch + row * columns + run * 16,
                _mm512_mul_ps(load16(from.at + row * from.row_length), all(scale ? scale[row] : 1)));
    }
    const std::size_t at = index * depth * columns;
    pack(forward + at, scratch, columns, depth, columns);
    pack_transposed(transposed + at, scratch, columns, columns, depth);
  }
};

// Inverse of fold() for gradients: weight gradient = scale * sum; scale gradient = sum over columns of weight * sum.
template <class RunOf, class GradientRunOf>
void unfold(const float* sums, std::size_t depth, std::size_t columns, const float* scale, float* scale_gradient,
            RunOf weight_of, GradientRunOf gradient_of) {
  for (std::size_t row = 0; row < depth; row++) {
    __m512 total = _mm512_setzero_ps();
    for (std::size_t run = 0; run < columns / 16; run++) {
      const Run weight = weight_of(run), gradient = gradient_of(run);
      const __m512 sum = load16(sums + row * columns + run * 16);
      total = _mm512_fmadd_ps(load16(weight.at + row * weight.row_length), sum, total);
      store16(gradient.at + row * gradient.row_length, _mm512_mul_ps(sum, all(scale ? scale[row] : 1)));
    }
    if (scale) scale_gradient[row] += _mm512_reduce_add_ps(total);
  }
}

template <class T>
struct LayerWeights {
  Matrix<T> qkv{d_model * qkv_width}, linear{d_model * d_model};
  Matrix<T> gate_up{num_experts * d_model * gated_width}, down{num_experts * d_ff * d_model};
  Buffer<float> router{num_experts * d_model};  // [num_experts, d_model], with the scale of the norm
  Buffer<float> after_attention{d_model}, after_experts{d_model};
  ExpertWeights<T> experts[num_experts];

  LayerWeights() {
    for (std::size_t expert = 0; expert < num_experts; expert++)
      experts[expert] = {gate_up.forward + expert * d_model * gated_width,
                         gate_up.transposed + expert * d_model * gated_width, down.forward + expert * d_ff * d_model,
                         down.transposed + expert * d_ff * d_model};
  }

  void set(const Parameters::Layer& layer, T* scratch) {
    qkv.fold(0, scratch, d_model, qkv_width, layer.rms_norm, [&](std::size_t run) { return run_of_qkv(layer, run); });
    linear.fold(0, scratch, d_model, d_model, nullptr, [&](std::size_t run) {
      return Run{layer.linear + run * 16, d_model};
    });
    for (std::size_t expert = 0; expert < num_experts; expert++) {
      gate_up.fold(expert, scratch, d_model, gated_width, layer.rms_norm_2,
                   [&](std::size_t run) { return run_of_gate_up(layer, expert, run); });
      down.fold(expert, scratch, d_ff, d_model, nullptr, [&](std::size_t run) {
        return Run{layer.moe_linear_1 + expert * d_ff * d_model + run * 16, d_model};
      });
      for (std::size_t i = 0; i < d_model; i++)
        router[expert * d_model + i] = layer.router[i * num_experts + expert] * layer.rms_norm_2[i];
    }
    std::memcpy(after_attention, layer.rms_norm_1, d_model * sizeof(float));
    std::memcpy(after_experts, layer.rms_norm_3, d_model * sizeof(float));
  }
};

struct LayerSums {
  Buffer<float> qkv{d_model * qkv_width}, linear{d_model * d_model};
  Buffer<float> gate_up{num_experts * d_model * gated_width}, down{num_experts * d_ff * d_model};
  Buffer<float> router{num_experts * d_model}, after_attention{d_model}, after_experts{d_model};

  // Moves the sums to the gradients.
  void take(const Parameters::Layer& weight, const Parameters::Layer& gradient) {
    std::memset(gradient.rms_norm, 0, d_model * sizeof(float));
    std::memset(gradient.rms_norm_2, 0, d_model * sizeof(float));
    unfold(
        qkv, d_model, qkv_width, weight.rms_norm, gradient.rms_norm,
        [&](std::size_t run) { return run_of_qkv(weight, run); },
        [&](std::size_t run) { return run_of_qkv(gradient, run); });
    for (std::size_t expert = 0; expert < num_experts; expert++)
      unfold(
          gate_up + expert * d_model * gated_width, d_model, gated_width, weight.rms_norm_2, gradient.rms_norm_2,
          [&](std::size_t run) { return run_of_gate_up(weight, expert, run); },
          [&](std::size_t run) { return run_of_gate_up(gradient, expert, run); });
    for (std::size_t expert = 0; expert < num_experts; expert++)
      for (std::size_t i = 0; i < d_model; i++) {
        const float sum = router[expert * d_model + i];
        gradient.router[i * num_experts + expert] = sum * weight.rms_norm_2[i];
        gradient.rms_norm_2[i] += sum * weight.router[i * num_experts + expert];
      }
    std::memcpy(gradient.linear, linear, linear.size() * sizeof(float));
    std::memcpy(gradient.moe_linear_1, down, down.size() * sizeof(float));
    std::memcpy(gradient.rms_norm_1, after_attention, d_model * sizeof(float));
    std::memcpy(gradient.rms_norm_3, after_experts, d_model * sizeof(float));
    for (Buffer<float>* sums : {&qkv, &linear, &gate_up, &down, &router, &after_attention, &after_experts})
      sums->clear();
  }
};
