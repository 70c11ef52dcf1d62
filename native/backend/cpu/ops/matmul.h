#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/layout/cpu_matrix.h"
#include "backend/cpu/ops/panels.h"
#include "threads/thread_pool.h"

// Products of rows of activations with matrices, and their division among threads.
namespace grok::cpu {

// A matrix, or one expert's part of it.
struct ExpertMatrix {
  const CpuMatrix* matrix = nullptr;
  int expert = 0;
};

// Some rows times one matrix, or times several matrices of one shape.
struct Product {
  std::vector<ExpertMatrix> matrices;
  const Panels* x = nullptr;
  float* out = nullptr;  // [x->num_rows(), d_out]

  const CpuMatrix& shape() const { return *matrices.front().matrix; }
};

// How the results of a product's matrices become its output.
struct Epilogue {
  enum class Kind {
    sum,         // scale * the sum of the results, in the order of the matrices
    gated_gelu,  // gelu_tanh(first result) * second result
  };
  Kind kind = Kind::sum;
  float scale = 1;
};

// Computes all products, divided into blocks among the threads. Partial sums stay in the memory of each thread.
void multiply(std::span<const Product> products, const Epilogue& epilogue, const Kernels& kernels,
              threads::ThreadPool& pool);

// Bytes that each thread keeps for its blocks.
std::size_t thread_scratch_bytes(const Kernels& kernels, bool is_mapped);

}  // namespace grok::cpu
