#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "backend/cuda/digits.h"
#include "backend/cuda/packed_matrix.h"

// Products of rows of activations with packed matrices: the weights as one stream that all blocks share evenly.
namespace grok::cuda {

// Rows that one expert multiplies in one pass over its weights.
struct Job {
  std::int32_t expert = 0;
  std::int32_t first = 0;  // of the positions, which are rows in the order of their experts
  std::int32_t count = 0;
};

inline constexpr int kMaxMatrices = 3;

// What a product leaves: a plane of sums for each slice. Their sum, in the order of the slices, is the product.
struct Planes {
  const float* sums = nullptr;  // [num_slices, num_positions, width], at the matrix's first column
  int num_slices = 0;
  int num_positions = 0;
  int width = 0;  // columns of all matrices of the product

  // kLoads in flight at a time.
  template <int kLoads = 8>
  __device__ float at(int position, int column) const {
    const std::size_t plane = std::size_t(num_positions) * width;
    const float* from = sums + std::size_t(position) * width + column;
    float total = 0;
    for (int first = 0; first < num_slices; first += kLoads) {
      float loaded[kLoads];
#pragma unroll
      for (int i = 0; i < kLoads; ++i) loaded[i] = first + i < num_slices ? from[(first + i) * plane] : 0.0f;
#pragma unroll
      for (int i = 0; i < kLoads; ++i) total += loaded[i];
    }
    return total;
  }
};

struct JobList {
  const Job* jobs = nullptr;               // null: see `experts`
  const std::int32_t* experts = nullptr;   // [num_positions] a job for each position; null: all in order, expert 0
  const std::int32_t* num_jobs = nullptr;  // on the device
  const std::int32_t* row_of_position = nullptr;  // [num_positions] row of the digits; null: itself, or the only row
  int num_positions = 0;
  int positions_per_job = 0;  // at most
};

// Positions that one pass over the weights serves: 8 for each right operand of a matrix instruction.
int positions_per_pass(int most_of_an_expert, int num_digits);

// Of a matrix that is no expert's: all rows in order.
inline JobList all_positions(int num_positions, int num_digits) {
  return {.num_positions = num_positions, .positions_per_job = positions_per_pass(num_positions, num_digits)};
}

// Of each matrix of one product.
using Products = std::array<Planes, kMaxMatrices>;

// Asks for the scratch of the product of the matrices with num_rows rows of activations, at so many positions.
void count_product(std::span<const MatrixShape* const> matrices, int num_rows, int num_positions, int num_digits,
                   DeviceScratch& scratch);

// Where such a product leaves its sums: matrices of one layout, so many column tiles of them all.
float* sums_of(const InputLayout& layout, int num_positions, int column_tiles, DeviceScratch& scratch);

// x times each of the matrices, which share the layout of their inputs. Positions of one job share an expert.
Products multiply(std::span<const CudaMatrix* const> matrices, const DigitRows& x, int num_digits, const JobList& jobs,
                  int num_multiprocessors, DeviceScratch& scratch, Stream& stream);

// The same from activations, for matrices of any layouts.
Products multiply(std::span<const CudaMatrix* const> matrices, const Activations& x, int num_digits,
                  const JobList& jobs, int num_multiprocessors, DeviceScratch& scratch, Stream& stream);

}  // namespace grok::cuda
