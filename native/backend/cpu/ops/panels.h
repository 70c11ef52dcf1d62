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

// Cost of packing an activation, in multiply-adds.
inline constexpr std::size_t kPackingWork = 64;

// Rows of activations, packed for the kernels: in panels of kPanelTokens rows; in each panel the scale groups, divided
// into chunks like the matrix.
class Panels {
 public:
  // rows[i] is [width], the source of row i; num_groups is the matrix's.
  Panels(std::span<const float* const> rows, int width, int num_groups, const Kernels& kernels, Scratch& scratch,
         threads::ThreadPool& pool);
  // x is [num_rows, width].
  Panels(const float* x, int num_rows, int width, int num_groups, const Kernels& kernels, Scratch& scratch,
         threads::ThreadPool& pool);

  // The panels of each set of rows, all packed in one loop.
  static std::vector<Panels> of_each(std::span<const std::vector<const float*>> sets, int width, int num_groups,
                                     const Kernels& kernels, Scratch& scratch, threads::ThreadPool& pool);

  // Bytes of scratch for num_rows rows.
  static std::size_t size_bytes(std::size_t num_rows, int width, int num_groups, const Kernels& kernels);

  int num_panels() const { return (num_rows_ + kPanelTokens - 1) / kPanelTokens; }
  int rows_of(int panel) const { return std::min(kPanelTokens, num_rows_ - panel * kPanelTokens); }
  // The panel's activations of one group, starting at one of the group's chunks.
  const std::uint8_t* activations(int panel, int group, int chunk) const {
    return packed_ + std::size_t(panel) * kPanelTokens * row_bytes_ +
           (std::size_t(group) * group_chunks_ + chunk) * chunk_bytes_ * rows_of(panel);
  }
  const float* scales(int panel) const { return scales_ + panel * kPanelTokens; }  // [rows_of(panel)]
  int num_rows() const { return num_rows_; }

 private:
  // Allocates the panels without packing them.
  Panels(std::size_t num_rows, int width, int num_groups, const Kernels& kernels, Scratch& scratch);
  void pack_row(int row, const float* x, const Kernels& kernels);

  int num_rows_;
  int width_;
  int num_groups_;
  int group_chunks_;
  std::size_t chunk_bytes_;  // per row
  std::size_t row_bytes_;
  std::uint8_t* packed_;
  float* scales_;  // [num_rows]
};

}  // namespace grok::cpu
