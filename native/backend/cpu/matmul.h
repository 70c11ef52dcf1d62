#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "backend/cpu/kernels.h"
#include "backend/cpu/packed_matrix.h"
#include "backend/cpu/scratch.h"
#include "core/thread_pool.h"

// Products of rows of activations with packed matrices: how operations share them out among threads.
namespace grok {

// Rows of activations in panels of kPanelTokens, in each of which the rows' values for one input lie side by side: the
// inner loop then reads one stream, not kPanelTokens of them.
struct Panels {
  // Uninitialised.
  Panels(int num_rows, int width, Scratch& scratch)
      : num_rows(num_rows), width(width), values(scratch.floats(std::size_t(num_rows) * width)) {}

  int num_panels() const { return (num_rows + kPanelTokens - 1) / kPanelTokens; }
  int rows_of(int panel) const { return std::min(kPanelTokens, num_rows - panel * kPanelTokens); }
  // [width, rows_of(panel)]
  float* panel(int panel) const { return values + std::size_t(panel) * kPanelTokens * width; }

  const int num_rows;
  const int width;
  float* const values;
};

// rows[i] is the source of panel row i.
Panels pack_rows(std::span<const float* const> rows, int width, Scratch& scratch, ThreadPool& pool);
// x is [num_rows, width].
Panels pack_rows(const float* x, int num_rows, int width, Scratch& scratch, ThreadPool& pool);

// One matrix (of one expert) times some rows.
struct Product {
  const PackedMatrix* matrix = nullptr;
  int expert = 0;
  const Panels* x = nullptr;
  float* out = nullptr;  // [x->num_rows, matrix->d_out]
};

// All the products, strip by strip over the threads.
void multiply(std::span<const Product> products, const Kernels& kernels, ThreadPool& pool);

// Runs body(task) for count tasks of so many multiply-adds each, on one thread where sharing them out would cost more.
void for_each_task(std::size_t count, std::size_t multiply_adds, ThreadPool& pool,
                   const std::function<void(std::size_t)>& body);

// One strip of a matrix times one panel of rows: out is [rows, kStrip].
inline void strip_times_panel(const PackedMatrix& matrix, int expert, int strip, const Panels& x, int panel, float* out,
                              const Kernels& kernels) {
  kernels.strip_product({.out = out,
                         .weights = matrix.weights(expert, strip),
                         .scales = matrix.scales(expert, strip),
                         .panel = x.panel(panel),
                         .num_tokens = x.rows_of(panel),
                         .d_in = matrix.d_in,
                         .num_groups = matrix.num_groups});
}

}  // namespace grok
