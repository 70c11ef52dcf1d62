// Matrix products of blocks of 32 x 32, in bf16 by AMX or in float32 for checks.
//
// Sizes are multiples of 32. Sums are in float32. The right-hand matrix is packed first; a caller's epilogue takes each
// finished block.

#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

struct bf16 {
  std::uint16_t bits;
};

constexpr std::size_t block = 32;
constexpr std::size_t block_values = block * block;

// ---------------------------------------------------------------- single values and vectors

inline __m512 load16(const float* from) { return _mm512_loadu_ps(from); }
inline __m512 load16(const bf16* from) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

inline void store16(float* to, __m512 values) { _mm512_storeu_ps(to, values); }
inline void store16(bf16* to, __m512 values) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), (__m256i)_mm512_cvtneps_pbh(values));
}

inline void store32(float* to, __m512 low, __m512 high) {
  _mm512_storeu_ps(to, low);
  _mm512_storeu_ps(to + 16, high);
}
inline void store32(bf16* to, __m512 low, __m512 high) {
  _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

// ---------------------------------------------------------------- operands

// The left-hand matrix. Value (row, k) is at row / 32 * block_stride + row % 32 * row_stride + k / 32 * chunk_stride +
// k % 32.
template <class T>
struct Left {
  const T* at;
  std::size_t row_stride;
  std::size_t chunk_stride;
  std::size_t block_stride;
};

template <class T>
Left<T> row_major(const T* at, std::size_t row_length) {
  return {at, row_length, block, block * row_length};
}

// Blocks of 32 x 32 one after another, a block of rows at a time.
template <class T>
Left<T> tiled(const T* at, std::size_t depth) {
  return {at, block, block_values, block * depth};
}

// The right-hand matrix: panels of 32 columns, each `depth` rows deep. Within a panel, bf16 values are in the order of
// two tile registers for every 32 rows; float32 values are row-major.
template <class T>
struct Right {
  const T* at;
  std::size_t depth;

  const T* chunk(std::size_t panel, std::size_t first_row) const {
    return at + panel * depth * block + first_row * block;
  }
};

// ---------------------------------------------------------------- packing

inline void transpose_words(__m512i (&rows)[16]) {
  __m512i pairs[16], quads[16];
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 16; i += 4)
    for (int j = 0; j < 2; j++) {
      quads[i + 2 * j] = _mm512_unpacklo_epi64(pairs[i + j], pairs[i + 2 + j]);
      quads[i + 2 * j + 1] = _mm512_unpackhi_epi64(pairs[i + j], pairs[i + 2 + j]);
    }
  for (int j = 0; j < 4; j++) {
    const __m512i even_low = _mm512_shuffle_i32x4(quads[j], quads[4 + j], 0x88);
    const __m512i odd_low = _mm512_shuffle_i32x4(quads[j], quads[4 + j], 0xdd);
    const __m512i even_high = _mm512_shuffle_i32x4(quads[8 + j], quads[12 + j], 0x88);
    const __m512i odd_high = _mm512_shuffle_i32x4(quads[8 + j], quads[12 + j], 0xdd);
    rows[j] = _mm512_shuffle_i32x4(even_low, even_high, 0x88);
    rows[8 + j] = _mm512_shuffle_i32x4(even_low, even_high, 0xdd);
    rows[4 + j] = _mm512_shuffle_i32x4(odd_low, odd_high, 0x88);
    rows[12 + j] = _mm512_shuffle_i32x4(odd_low, odd_high, 0xdd);
  }
}

// Words of two rows: the lower half is of the first.
inline __m512i paired_rows(const bf16* first, std::size_t row_length) {
  const __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(first)));
  const __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(first + row_length)));
  return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

// from [depth, columns] as a right-hand matrix.
inline void pack(bf16* to, const bf16* from, std::size_t row_length, std::size_t depth, std::size_t columns) {
  for (std::size_t panel = 0; panel < columns / block; panel++)
    for (std::size_t row = 0; row < depth; row += block)
      for (std::size_t tile = 0; tile < 2; tile++)
        for (std::size_t pair = 0; pair < 16; pair++, to += 32)
          _mm512_storeu_si512(
              to, paired_rows(from + (row + 2 * pair) * row_length + panel * block + tile * 16, row_length));
}
inline void pack(float* to, const float* from, std::size_t row_length, std::size_t depth, std::size_t columns) {
  for (std::size_t panel = 0; panel < columns / block; panel++)
    for (std::size_t row = 0; row < depth; row++)
      for (std::size_t column = 0; column < block; column++) *to++ = from[row * row_length + panel * block + column];
}

// The transpose of from [columns, depth] as a right-hand matrix.
inline void pack_transposed(bf16* to, const bf16* from, std::size_t row_length, std::size_t depth,
                            std::size_t columns) {
  for (std::size_t panel = 0; panel < columns / block; panel++)
    for (std::size_t row = 0; row < depth; row += block)
      for (std::size_t tile = 0; tile < 2; tile++, to += 512) {
        __m512i words[16];
        for (std::size_t i = 0; i < 16; i++)
          words[i] = _mm512_loadu_si512(from + (panel * block + tile * 16 + i) * row_length + row);
        transpose_words(words);
        for (std::size_t i = 0; i < 16; i++) _mm512_storeu_si512(to + i * 32, words[i]);
      }
}
inline void pack_transposed(float* to, const float* from, std::size_t row_length, std::size_t depth,
                            std::size_t columns) {
  for (std::size_t panel = 0; panel < columns / block; panel++)
    for (std::size_t row = 0; row < depth; row++)
      for (std::size_t column = 0; column < block; column++) *to++ = from[(panel * block + column) * row_length + row];
}

// The transpose of from [rows, columns] as a tiled left-hand matrix [columns, rows].
inline void tile_transposed(bf16* to, const bf16* from, std::size_t row_length, std::size_t rows, std::size_t columns) {
  for (std::size_t column = 0; column < columns; column += block)
    for (std::size_t row = 0; row < rows; row += block)
      for (std::size_t half = 0; half < 2; half++, to += 512) {
        __m512i words[16];
        for (std::size_t pair = 0; pair < 16; pair++)
          words[pair] = paired_rows(from + (row + 2 * pair) * row_length + column + 16 * half, row_length);
        transpose_words(words);
        for (std::size_t i = 0; i < 16; i++) _mm512_storeu_si512(to + i * 32, words[i]);
      }
}
inline void tile_transposed(float* to, const float* from, std::size_t row_length, std::size_t rows,
                            std::size_t columns) {
  for (std::size_t column = 0; column < columns; column += block)
    for (std::size_t row = 0; row < rows; row += block)
      for (std::size_t i = 0; i < block; i++)
        for (std::size_t j = 0; j < block; j++) *to++ = from[(row + j) * row_length + column + i];
}

// ---------------------------------------------------------------- products

// All tile registers have 16 rows of 64 bytes (trainer.cpp).
inline void multiply_block(float* result, const Left<bf16>& left, const bf16* a, const bf16* b, std::size_t depth) {
  // The compiler does not know that the next instructions read memory.
  asm volatile("" ::: "memory");
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  const std::size_t stride = left.row_stride * sizeof(bf16);
  for (std::size_t k = 0; k < depth; k += block, a += left.chunk_stride, b += block_values) {
    _tile_loadd(6, b, 64);
    _tile_loadd(4, a, stride);
    _tile_loadd(7, b + 512, 64);
    _tile_loadd(5, a + 16 * left.row_stride, stride);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, result, 128);
  _tile_stored(1, result + 16, 128);
  _tile_stored(2, result + 512, 128);
  _tile_stored(3, result + 528, 128);
}

inline void multiply_block(float* result, const Left<float>& left, const float* a, const float* b, std::size_t depth) {
  for (std::size_t row = 0; row < block; row++) {
    __m512 low = _mm512_setzero_ps(), high = _mm512_setzero_ps();
    for (std::size_t k = 0; k < depth; k++) {
      const __m512 value = _mm512_set1_ps(a[row * left.row_stride + k / block * left.chunk_stride + k % block]);
      low = _mm512_fmadd_ps(value, _mm512_loadu_ps(b + k * block), low);
      high = _mm512_fmadd_ps(value, _mm512_loadu_ps(b + k * block + 16), high);
    }
    store32(result + row * block, low, high);
  }
}

inline void prefetch_line_pair(const void* at) {
  _mm_prefetch(static_cast<const char*>(at), _MM_HINT_T0);
  _mm_prefetch(static_cast<const char*>(at) + 64, _MM_HINT_T0);
}

// Products of `left` [rows, depth] and `right` [depth, columns]. For each block, calls prepare(row, column), computes the
// block, and calls epilogue(row, column, float result[32][32]). prepare() can prefetch memory for the epilogue.
// `by_panel` keeps a panel of `right` in the first-level cache, otherwise a block of `left`.
template <bool by_panel = false, class T, class Epilogue, class Prepare>
void multiply(const Left<T>& left, std::size_t rows, const Right<T>& right, std::size_t columns, std::size_t depth,
              Epilogue&& epilogue, Prepare&& prepare) {
  alignas(64) float result[block_values];
  const std::size_t num_outer = by_panel ? columns : rows, num_inner = by_panel ? rows : columns;
  for (std::size_t outer = 0; outer < num_outer; outer += block)
    for (std::size_t inner = 0; inner < num_inner; inner += block) {
      const std::size_t row = by_panel ? inner : outer, column = by_panel ? outer : inner;
      prepare(row, column);
      multiply_block(result, left, left.at + row / block * left.block_stride, right.chunk(column / block, 0), depth);
      epilogue(row, column, static_cast<const float*>(result));
    }
}
template <bool by_panel = false, class T, class Epilogue>
void multiply(const Left<T>& left, std::size_t rows, const Right<T>& right, std::size_t columns, std::size_t depth,
              Epilogue&& epilogue) {
  multiply<by_panel>(left, rows, right, columns, depth, epilogue, [](std::size_t, std::size_t) {});
}

// sums [rows, columns] += the product.
template <class T>
void multiply_add(float* sums, std::size_t sums_length, const Left<T>& left, std::size_t rows, const Right<T>& right,
                  std::size_t columns, std::size_t depth) {
  multiply(
      left, rows, right, columns, depth,
      [=](std::size_t row, std::size_t column, const float* result) {
        for (std::size_t i = 0; i < block; i++) {
          float* to = sums + (row + i) * sums_length + column;
          store32(to, _mm512_add_ps(load16(to), load16(result + i * block)),
                  _mm512_add_ps(load16(to + 16), load16(result + i * block + 16)));
        }
      },
      [=](std::size_t row, std::size_t column) {
        for (std::size_t i = 0; i < block; i++) prefetch_line_pair(sums + (row + i) * sums_length + column);
      });
}
