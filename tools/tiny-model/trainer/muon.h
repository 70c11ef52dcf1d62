// A step of ../muon.py for a stack of matrices.

#pragma once

#include "numbers.h"

template <class T>
class Muon {
 public:
  Muon() : x_(most), next_(most), gram_(most), polynomial_(most), right_(most), direction_(most) {}

  // weight, momentum, gradient [count, d_in, d_out]
  void step(float* weight, float* momentum, const float* gradient, std::size_t count, std::size_t d_in,
            std::size_t d_out, float learning_rate, float weight_decay) {
    const float factor = learning_rate * std::sqrt(std::max(1.0f, float(d_in) / float(d_out)));
    for (std::size_t size = d_in * d_out; count-- > 0; weight += size, momentum += size, gradient += size) {
      __m512 squares = _mm512_setzero_ps();
      for (std::size_t i = 0; i < size; i += 16) {
        const __m512 slope = load16(gradient + i);
        const __m512 moving = _mm512_fmadd_ps(load16(momentum + i), all(momentum_share), slope);
        const __m512 direction = _mm512_fmadd_ps(moving, all(momentum_share), slope);
        store16(momentum + i, moving);
        store16(direction_ + i, direction);
        squares = _mm512_fmadd_ps(direction, direction, squares);
      }
      const float norm = std::sqrt(_mm512_reduce_add_ps(squares)) + 1e-7f;
      for (std::size_t i = 0; i < size; i += 32)
        store32(x_ + i, _mm512_mul_ps(load16(direction_ + i), all(1 / norm)),
                _mm512_mul_ps(load16(direction_ + i + 16), all(1 / norm)));
      const bool is_tall = d_in > d_out;
      if (is_tall) transpose(d_in, d_out);
      for (int i = 0; i < num_iterations; i++) iterate(std::min(d_in, d_out), std::max(d_in, d_out));
      if (is_tall) transpose(d_out, d_in);
      for (std::size_t i = 0; i < size; i += 16)
        store16(weight + i, _mm512_fnmadd_ps(load16(x_ + i), all(factor),
                                             _mm512_mul_ps(load16(weight + i), all(1 - learning_rate * weight_decay))));
    }
  }

 private:
  static constexpr std::size_t most = d_model * d_model;
  static constexpr float momentum_share = 0.95f;
  static constexpr int num_iterations = 4;

  void transpose(std::size_t rows, std::size_t columns) {
    for (std::size_t row = 0; row < rows; row++)
      for (std::size_t column = 0; column < columns; column++) next_[column * rows + row] = x_[row * columns + column];
    std::swap(x_, next_);
  }

  // x [rows, columns] becomes 3.4445 x + (-4.7750 g + 2.0315 g g) x, with g = x x^T.
  void iterate(std::size_t rows, std::size_t columns) {
    pack_transposed(right_, x_, columns, columns, rows);
    multiply(row_major<T>(x_, columns), rows, Right<T>{right_, columns}, rows, columns,
             [&](std::size_t row, std::size_t column, const float* result) {
               for (std::size_t i = 0; i < block; i++)
                 store32(gram_ + (row + i) * rows + column, load16(result + i * block),
                         load16(result + i * block + 16));
             });
    pack(right_, gram_, rows, rows, rows);
    multiply_with(row_major<T>(gram_, rows), rows, rows, rows, gram_, -4.7750f, 2.0315f, polynomial_);
    pack(right_, x_, columns, rows, columns);
    multiply_with(row_major<T>(polynomial_, rows), rows, columns, rows, x_, 3.4445f, 1, next_);
    std::swap(x_, next_);
  }

  // to = added_factor * added + factor * left * right_
  void multiply_with(const Left<T>& left, std::size_t rows, std::size_t columns, std::size_t depth, const T* added,
                     float added_factor, float factor, T* to) {
    multiply(left, rows, Right<T>{right_, depth}, columns, depth,
             [=](std::size_t row, std::size_t column, const float* result) {
               for (std::size_t i = 0; i < block; i++) {
                 const std::size_t at = (row + i) * columns + column;
                 __m512 sums[2];
                 for (std::size_t half = 0; half < 2; half++)
                   sums[half] = _mm512_fmadd_ps(load16(added + at + 16 * half), all(added_factor),
                                                _mm512_mul_ps(load16(result + i * block + 16 * half), all(factor)));
                 store32(to + at, sums[0], sums[1]);
               }
             });
  }

  Buffer<T> x_, next_, gram_, polynomial_, right_;
  Buffer<float> direction_;
};
