#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "backend/cuda/packed_matrix.h"
#include "backend/cuda/quantize.h"

// Products of rows of activations with packed matrices. All blocks share the weights evenly, as one stream.
namespace grok::cuda {

// Rows that one expert multiplies in one pass over its weights.
struct Job {
  std::int32_t expert = 0;
  std::int32_t first = 0;  // first position; positions are the rows in the order of their experts
  std::int32_t count = 0;
};

struct JobList {
  const Job* jobs = nullptr;               // null: see `experts`
  const std::int32_t* experts = nullptr;   // [num_positions] a job for each position; null: all in order, expert 0
  const std::int32_t* num_jobs = nullptr;  // on the device
  // [num_positions] row of the quantized activations; null: the position, or the only row
  const std::int32_t* row_of_position = nullptr;
  int num_positions = 0;
  int positions_per_job = 0;  // at most
};

// Positions that share one pass over the weights: 8 for each right operand of a matrix instruction.
int positions_per_pass(int most_of_an_expert, int num_limbs);

// Job list of a matrix that belongs to no expert: all rows in order.
inline JobList all_positions(int num_positions, int num_limbs) {
  return {.num_positions = num_positions, .positions_per_job = positions_per_pass(num_positions, num_limbs)};
}

inline constexpr int kMaxMatrices = 3;

// Result of a product with one matrix. Kernels read it value by value.
class ProductResult {
 public:
  // The value of a column of the matrix at a position, computed with kLoads loads in flight.
  template <int kLoads = 8>
  __device__ float at(int position, int column) const {
    const std::size_t slice_size = std::size_t(num_positions_) * width_;
    const float* from = partials_ + std::size_t(position) * width_ + column;
    float total = 0;
    for (int first = 0; first < num_slices_; first += kLoads) {
      float loaded[kLoads];
#pragma unroll
      for (int i = 0; i < kLoads; ++i) loaded[i] = first + i < num_slices_ ? from[(first + i) * slice_size] : 0.0f;
#pragma unroll
      for (int i = 0; i < kLoads; ++i) total += loaded[i];
    }
    return total;
  }

 private:
  friend std::array<ProductResult, kMaxMatrices> multiply(std::span<const CudaMatrix* const>, const LimbRows&, int,
                                                          const JobList&, int, DeviceScratch&, Stream&);
  // Split-k partials, one for each slice. They are added in the order of the slices.
  const float* partials_ = nullptr;  // [num_slices, num_positions, width], starting at the matrix's first column
  int num_slices_ = 0, num_positions_ = 0;
  int width_ = 0;  // columns of all matrices of the product
};

// Results of one product with several matrices, in their order.
using Products = std::array<ProductResult, kMaxMatrices>;

// Counts the scratch of a product of the matrices with num_rows rows of activations, at num_positions positions.
void count_product(std::span<const MatrixShape* const> matrices, int num_rows, int num_positions, int num_limbs,
                   DeviceScratch& scratch);

// x times each of the matrices, which share the layout of their inputs. Positions of one job share an expert.
Products multiply(std::span<const CudaMatrix* const> matrices, const LimbRows& x, int num_limbs, const JobList& jobs,
                  int num_multiprocessors, DeviceScratch& scratch, Stream& stream);

// The same for activations and matrices of any layouts. Quantizes the activations if necessary.
Products multiply(std::span<const CudaMatrix* const> matrices, const Activations& x, int num_limbs, const JobList& jobs,
                  int num_multiprocessors, DeviceScratch& scratch, Stream& stream);

}  // namespace grok::cuda
