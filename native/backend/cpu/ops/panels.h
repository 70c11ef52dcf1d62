#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/layout/cpu_matrix.h"
#include "backend/cpu/layout/scratch.h"
#include "threads/thread_pool.h"

namespace grok::cpu {

// Multiply-adds that packing an activation costs as much as.
inline constexpr std::size_t kPackingWork = 64;

// Rows of activations, packed as the kernels multiply them: in panels of kPanelTokens rows; in each the scale groups, cut
// in chunks as the matrix that they are for is.
class Panels {
 public:
  // rows[i] is [width], the source of row i; num_groups is the matrix's.
  Panels(std::span<const float* const> rows, int width, int num_groups, const Kernels& kernels, Scratch& scratch,
         threads::ThreadPool& pool);
  // x is [num_rows, width].
  Panels(const float* x, int num_rows, int width, int num_groups, const Kernels& kernels, Scratch& scratch,
         threads::ThreadPool& pool);

  // Of each set of rows its panels, all packed in one loop.
  static std::vector<Panels> of_each(std::span<const std::vector<const float*>> sets, int width, int num_groups,
                                     const Kernels& kernels, Scratch& scratch, threads::ThreadPool& pool);

  // Of scratch that so many rows take.
  static std::size_t size_bytes(std::size_t num_rows, int width, int num_groups, const Kernels& kernels);

  int num_panels() const { return (num_rows_ + kPanelTokens - 1) / kPanelTokens; }
  int rows_of(int panel) const { return std::min(kPanelTokens, num_rows_ - panel * kPanelTokens); }
  // The panel's activations of one group, from one of the group's chunks on.
  const std::uint8_t* activations(int panel, int group, int chunk) const {
    return packed_ + std::size_t(panel) * kPanelTokens * row_bytes_ +
           (std::size_t(group) * group_chunks_ + chunk) * chunk_bytes_ * rows_of(panel);
  }
  const float* scales(int panel) const { return scales_ + panel * kPanelTokens; }  // [rows_of(panel)]
  int num_rows() const { return num_rows_; }

 private:
  // Not packed yet.
  Panels(std::size_t num_rows, int width, int num_groups, const Kernels& kernels, Scratch& scratch);
  void pack_row(int row, const float* x, const Kernels& kernels);

  int num_rows_;
  int width_;
  int num_groups_;
  int group_chunks_;
  std::size_t chunk_bytes_;  // of one row
  std::size_t row_bytes_;
  std::uint8_t* packed_;
  float* scales_;  // [num_rows]
};

}  // namespace grok::cpu
