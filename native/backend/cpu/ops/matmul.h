#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/layout/cpu_matrix.h"
#include "backend/cpu/ops/panels.h"
#include "threads/thread_pool.h"

// Products of rows of activations with matrices, and their division among threads.
namespace grok::cpu {

// Some strips of a matrix times some panels of activations: the work of one thread at a time.
struct ProductBlock {
  std::size_t product = 0;  // index among the products that are computed together
  int first_strip = 0, num_strips = 0;
  int first_panel = 0, num_panels = 0;

  int num_tiles() const { return num_strips * num_panels; }
};
inline constexpr int kMaxTiles = 128;  // per block

// The results of a block: [num_strips, num_panels] tiles of [rows of the panel, kStrip], each kPanelTokens * kStrip long.
using BlockOut = float*;
inline float* tile_of(BlockOut out, const ProductBlock& block, int strip, int panel) {
  return out + ((strip - block.first_strip) * block.num_panels + panel - block.first_panel) * kPanelTokens * kStrip;
}

// Memory of this thread for the results of a block. `index`, 0 or 1, selects one of two that are in use at the same
// time.
BlockOut block_out(int index);

void multiply_block(const CpuMatrix& matrix, int expert, const Panels& x, const ProductBlock& block, BlockOut out,
                    const Kernels& kernels);

// Input of for_each_block: `num_matrices` matrices of one shape times the same activations.
struct ProductWork {
  const CpuMatrix* matrix = nullptr;
  const Panels* x = nullptr;
  int num_matrices = 1;
};
void for_each_block(std::span<const ProductWork> products, threads::ThreadPool& pool,
                    const std::function<void(const ProductBlock&)>& body);

// One matrix (of one expert) times some rows.
struct Product {
  const CpuMatrix* matrix = nullptr;
  int expert = 0;
  const Panels* x = nullptr;
  float* out = nullptr;  // [x->num_rows(), matrix->d_out]
};

// Computes all products, divided into blocks among the threads.
void multiply(std::span<const Product> products, const Kernels& kernels, threads::ThreadPool& pool);

// Bytes that each thread keeps for its blocks.
std::size_t thread_scratch_bytes(const Kernels& kernels, bool is_mapped);

}  // namespace grok::cpu
