#include "backend/cpu/ops/panels.h"

#include <vector>

#include "backend/cpu/ops/tasks.h"

namespace grok::cpu {
namespace {

// Smaller activations become zeros, because the inverse of their scale could overflow.
constexpr float kSmallest = 1e-30f;

std::vector<const float*> rows_from(const float* x, int num_rows, int width) {
  std::vector<const float*> rows(num_rows);
  for (int row = 0; row < num_rows; ++row) rows[row] = x + std::size_t(row) * width;
  return rows;
}

int chunks_of(int width, int num_groups) { return (width / num_groups + kChunkRows - 1) / kChunkRows; }

std::size_t bytes_of_chunk(const Kernels& kernels) {
  return std::size_t(kChunkRows) * kernels.product.activation_bytes;
}

}  // namespace

std::size_t Panels::size_bytes(std::size_t num_rows, int width, int num_groups, const Kernels& kernels) {
  const std::size_t row_bytes = std::size_t(num_groups) * chunks_of(width, num_groups) * bytes_of_chunk(kernels);
  return Scratch::size_bytes(num_rows * row_bytes) + Scratch::size_bytes(num_rows * sizeof(float));
}

Panels::Panels(std::size_t num_rows, int width, int num_groups, const Kernels& kernels, Scratch& scratch)
    : num_rows_(int(num_rows)),
      width_(width),
      num_groups_(num_groups),
      group_chunks_(chunks_of(width, num_groups)),
      chunk_bytes_(bytes_of_chunk(kernels)),
      row_bytes_(std::size_t(num_groups) * group_chunks_ * chunk_bytes_),
      packed_(scratch.bytes(num_rows * row_bytes_)),
      scales_(scratch.floats(num_rows)) {}

Panels::Panels(std::span<const float* const> rows, int width, int num_groups, const Kernels& kernels, Scratch& scratch,
               threads::ThreadPool& pool)
    : Panels(rows.size(), width, num_groups, kernels, scratch) {
  for_each_task(rows.size(), std::size_t(width) * kPackingWork, pool,
                [&](std::size_t row) { pack_row(int(row), rows[row], kernels); });
}

Panels::Panels(const float* x, int num_rows, int width, int num_groups, const Kernels& kernels, Scratch& scratch,
               threads::ThreadPool& pool)
    : Panels(rows_from(x, num_rows, width), width, num_groups, kernels, scratch, pool) {}

std::vector<Panels> Panels::of_each(std::span<const std::vector<const float*>> sets, int width, int num_groups,
                                    const Kernels& kernels, Scratch& scratch, threads::ThreadPool& pool) {
  struct Row {
    std::size_t set;
    int row;
  };
  std::vector<Panels> panels;
  std::vector<Row> rows;
  for (std::size_t set = 0; set < sets.size(); ++set) {
    panels.push_back(Panels(sets[set].size(), width, num_groups, kernels, scratch));
    for (int row = 0; row < int(sets[set].size()); ++row) rows.push_back({set, row});
  }
  for_each_task(rows.size(), std::size_t(width) * kPackingWork, pool, [&](std::size_t task) {
    const auto [set, row] = rows[task];
    panels[set].pack_row(row, sets[set][std::size_t(row)], kernels);
  });
  return panels;
}

void Panels::pack_row(int row, const float* x, const Kernels& kernels) {
  float scale = 0;
  if (kernels.product.largest > 0) {
    const float magnitude = kernels.largest_magnitude(x, width_);
    if (!(magnitude < kSmallest)) scale = magnitude / kernels.product.largest;
  }
  scales_[row] = scale;
  const int panel = row / kPanelTokens, group_rows = width_ / num_groups_;
  for (int group = 0; group < num_groups_; ++group)
    kernels.product.pack({.out = const_cast<std::uint8_t*>(activations(panel, group, 0)),
                          .x = x + std::size_t(group) * group_rows,
                          .num_rows = group_rows,
                          .token = row % kPanelTokens,
                          .num_tokens = rows_of(panel),
                          .scale = scale});
}

}  // namespace grok::cpu
