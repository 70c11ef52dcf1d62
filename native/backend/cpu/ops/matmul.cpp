#include "backend/cpu/ops/matmul.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "backend/cpu/layout/packing.h"
#include "backend/cpu/layout/scratch.h"
#include "backend/cpu/ops/tasks.h"

namespace grok::cpu {
namespace {

constexpr int kMaxSums = 3;                                        // per output
constexpr int kMaxTiles = 128, kMaxStrips = 32;                    // per block
constexpr std::size_t kTile = std::size_t(kPanelTokens) * kStrip;  // outputs of one panel and one strip

constexpr std::size_t kOutBytes = kMaxTiles * kTile * sizeof(float);  // per block
constexpr std::size_t kSumsBytes = kMaxTiles * kTile * kMaxSums * sizeof(std::int32_t);

// Some strips of a product's matrices times some panels of activations: the work of one thread at a time.
struct ProductBlock {
  std::size_t product = 0;  // index among the products that are computed together
  int first_strip = 0, num_strips = 0;
  int first_panel = 0, num_panels = 0;
};

// The results of a block: [num_strips, num_panels] tiles of [rows of the panel, kStrip], each kTile long.
float* tile_of(float* out, const ProductBlock& block, int strip, int panel) {
  return out + ((strip - block.first_strip) * block.num_panels + panel - block.first_panel) * kTile;
}

// A thread's memory for its blocks, reused from block to block.
struct BlockMemory {
  HostMemory sums{kSumsBytes};
  HostMemory out[2] = {HostMemory(kOutBytes), HostMemory(kOutBytes)};
  Scratch weights;  // rows of a mapped matrix
};
thread_local std::unique_ptr<BlockMemory> block_memory;

BlockMemory& memory() {
  if (!block_memory) block_memory = std::make_unique<BlockMemory>();
  return *block_memory;
}

// Bytes between a group's weights and the next group's or strip's: scales and sums of the columns (packed_matrix.h).
constexpr int kScaleBytes = kStrip * (sizeof(float) + sizeof(std::int32_t));

// With one panel the product is memory-bound. Weights are streamed strip after strip, or two strips at once for one or
// two tokens. So the prefetch at the end of a strip reaches the start of the next.
void stream_block(const CpuMatrix& matrix, int expert, const Panels& x, const ProductBlock& block, float* out,
                  const ProductKernels& product) {
  const int group_rows = matrix.group_rows(), panel = block.first_panel, num_tokens = x.rows_of(panel);
  const int num_pairs = num_tokens <= product.paired_tokens ? block.num_strips / 2 : 0;
  // With several passes over the weights, each pass covers pieces that stay in the caches, while the next piece is
  // prefetched.
  const bool has_passes = num_tokens > product.tokens_at_once;
  const int rows_at_once = has_passes ? product.block_rows : product.exact_rows;
  std::int32_t* const sums = memory().sums.as<std::int32_t>();  // or float
  for (int index = 0; index < block.num_strips - num_pairs; ++index) {
    const int strips[2] = {block.first_strip + (index < num_pairs ? index : num_pairs + index),
                           block.first_strip + num_pairs + index};
    const int num_strips = index < num_pairs ? 2 : 1;
    for (int group = 0; group < matrix.num_groups; ++group)
      for (int first = 0; first < group_rows; first += product.exact_rows) {
        const int last = std::min(group_rows, first + std::min(product.exact_rows, group_rows));
        const std::int8_t* strip_weights[2] = {};
        for (int s = 0; s < num_strips; ++s)
          strip_weights[s] = matrix
                                 .rows({.expert = expert,
                                        .group = group,
                                        .first_row = first,
                                        .num_rows = last - first,
                                        .first_strip = strips[s],
                                        .num_strips = 1},
                                       memory().weights)
                                 .weights;
        for (int row = first; row < last; row += rows_at_once) {
          const int num_rows = std::min(rows_at_once, last - row), num_quads = CpuMatrix::quads_of(num_rows);
          const std::int8_t* const weights = strip_weights[0] + std::size_t(row - first) * kStrip;
          const std::size_t num_bytes = std::size_t(num_quads) * kQuad * kStrip;
          const std::int8_t* next = has_passes ? weights + num_bytes : nullptr;
          if (next && row + num_rows == group_rows)
            for (const std::int8_t* const scales = next; next < scales + kScaleBytes; next += 64)
              __builtin_prefetch(next);
          product.accumulate({.sums = sums,
                              .weights = weights,
                              .second_strip = strip_weights[1],
                              .x = x.activations(panel, group, row / kChunkRows),
                              .num_tokens = num_tokens,
                              .num_quads = num_quads,
                              .from_memory = !has_passes,
                              .add = row > first,
                              .next = next,
                              .next_lines = next ? int(num_bytes / 64) : 0});
        }
        for (int s = 0; s < num_strips; ++s)
          product.finish({.out = tile_of(out, block, strips[s], panel),
                          .sums = sums + s * kTile * product.num_sums,
                          .scales = matrix.scales(expert, strips[s], group),
                          .column_sums = matrix.column_sums(expert, strips[s], group),
                          .token_scales = x.scales(panel),
                          .num_tokens = num_tokens,
                          .add = group > 0 || first > 0});
      }
  }
}

// Multiplies the rows of weights block by block, strip by strip. Each piece of weights stays in L1 while all panels
// pass over it, and the activations of the block's rows stay in L2 while all strips do.
void multiply_block(const ExpertMatrix& by, const Panels& x, const ProductBlock& block, float* out,
                    const ProductKernels& product) {
  const CpuMatrix& matrix = *by.matrix;
  const int expert = by.expert;
  const int group_rows = matrix.group_rows(), last_strip = block.first_strip + block.num_strips;
  const int last_panel = block.first_panel + block.num_panels;
  const std::size_t sums_per_tile = kTile * product.num_sums;
  std::int32_t* const sums = memory().sums.as<std::int32_t>();  // or float

  const bool is_single = block.num_panels == 1, is_mapped = matrix.is_mapped();
  if (is_single && !is_mapped) return stream_block(matrix, expert, x, block, out, product);
  const bool adds_columns = is_mapped && product.add_columns;

  for (int group = 0; group < matrix.num_groups; ++group) {
    for (int first = 0; first < group_rows; first += product.exact_rows) {
      const int last = std::min(group_rows, first + std::min(product.exact_rows, group_rows));
      // A single panel belongs to a mapped matrix here: a small piece stays in the cache after it is read and packed.
      const int rows_at_once = is_single ? kChunkRows : product.block_rows;
      std::int32_t column_sums[kMaxStrips][kStrip];
      if (adds_columns) std::memset(column_sums, 0, block.num_strips * sizeof column_sums[0]);
      for (int row = first; row < last; row += rows_at_once) {
        const int num_rows = std::min(rows_at_once, last - row), num_quads = CpuMatrix::quads_of(num_rows);
        memory().weights.clear();
        const CpuMatrix::PackedRows rows = matrix.rows({.expert = expert,
                                                        .group = group,
                                                        .first_row = row,
                                                        .num_rows = num_rows,
                                                        .first_strip = block.first_strip,
                                                        .num_strips = block.num_strips},
                                                       memory().weights);
        const auto weights_of = [&](int strip) {
          return rows.weights + std::size_t(strip - block.first_strip) * rows.strip_stride;
        };
        std::int32_t* tile = sums;
        for (int strip = block.first_strip; strip < last_strip; ++strip) {
          // Prefetches the next strip's rows into L2 while this strip's are multiplied: each panel prefetches its
          // share.
          const std::int8_t* const next = is_single                ? nullptr
                                          : strip + 1 < last_strip ? weights_of(strip + 1)
                                          : row + rows_at_once < last && !is_mapped
                                              ? rows.weights + std::size_t(rows_at_once) * kStrip
                                              : nullptr;
          const int num_lines = next ? num_quads * kQuad * kStrip / 64 : 0;
          for (int panel = block.first_panel; panel < last_panel; ++panel, tile += sums_per_tile)
            product.accumulate(
                {.sums = tile,
                 .weights = weights_of(strip),
                 .x = x.activations(panel, group, row / kChunkRows),
                 .num_tokens = x.rows_of(panel),
                 .num_quads = num_quads,
                 .from_memory = is_single,
                 .add = row > first,
                 .next = next ? next + num_lines * (panel - block.first_panel) / block.num_panels * 64 : nullptr,
                 .next_lines = num_lines / block.num_panels});
        }
        if (adds_columns)
          for (int index = 0; index < block.num_strips; ++index)
            product.add_columns(weights_of(block.first_strip + index), num_quads, column_sums[index]);
      }

      const std::int32_t* tile = sums;
      for (int strip = block.first_strip; strip < last_strip; ++strip)
        for (int panel = block.first_panel; panel < last_panel; ++panel, tile += sums_per_tile)
          product.finish({.out = tile_of(out, block, strip, panel),
                          .sums = tile,
                          .scales = matrix.scales(expert, strip, group),
                          .column_sums = adds_columns ? column_sums[strip - block.first_strip]
                                                      : matrix.column_sums(expert, strip, group),
                          .token_scales = x.scales(panel),
                          .num_tokens = x.rows_of(panel),
                          .add = group > 0 || first > 0});
    }
  }
}

// Divides the products among the threads.
std::vector<ProductBlock> blocks_of(std::span<const Product> products, int num_threads) {
  // One or two panels stay in L2 for any number of strips, so a block has few strips, read front to back. A single
  // panel has enough strips to form a stream, because each start of a stream costs most of a microsecond. More panels
  // are read again for each block of strips, so blocks are as large as the number of threads allows. A block of a
  // mapped matrix reads pieces of rows: the longer, the better.
  constexpr int kMaxPanels = 8, kPanelStrips = kMaxTiles / kMaxPanels, kBlocksPerThread = 4, kStreamBytes = 1600'000;
  static_assert(kPanelStrips <= kMaxStrips && kMaxStrips <= kMaxTiles);
  std::size_t num_strips = 0;
  for (const Product& of : products)
    num_strips += std::size_t(of.shape().num_strips) * ((of.x->num_panels() + kMaxPanels - 1) / kMaxPanels);
  const std::size_t most_strips = num_strips / (std::size_t(num_threads) * kBlocksPerThread);

  std::vector<ProductBlock> blocks;
  for (std::size_t index = 0; index < products.size(); ++index) {
    const CpuMatrix& matrix = products[index].shape();
    const int num_panels = products[index].x->num_panels();
    const int few = num_panels <= 2 ? 2 : 1;
    const int many = matrix.is_mapped() ? (num_panels == 1 ? kMaxStrips : kPanelStrips)
                     : num_panels == 1  ? std::clamp(kStreamBytes / (matrix.d_in * kStrip), few, kMaxStrips)
                                        : (num_panels == 2 ? few : kPanelStrips);
    const int strips_at_once = int(std::clamp<std::size_t>(most_strips, few, many));
    for (int strip = 0; strip < matrix.num_strips; strip += strips_at_once)
      for (int panel = 0; panel < num_panels; panel += kMaxPanels)
        blocks.push_back({.product = index,
                          .first_strip = strip,
                          .num_strips = std::min(strips_at_once, matrix.num_strips - strip),
                          .first_panel = panel,
                          .num_panels = std::min(kMaxPanels, num_panels - panel)});
  }
  return blocks;
}

// Multiplies one block by each matrix, combines the results and stores them, tile by tile.
void compute_block(const Product& product, const ProductBlock& block, const Epilogue& epilogue,
                   const Kernels& kernels) {
  const Panels& x = *product.x;
  float *const result = memory().out[0].as<float>(), *const other = memory().out[1].as<float>();
  const auto for_each_tile = [&](const auto& body) {
    for (int strip = block.first_strip; strip < block.first_strip + block.num_strips; ++strip)
      for (int panel = block.first_panel; panel < block.first_panel + block.num_panels; ++panel) body(strip, panel);
  };
  const bool is_sum = epilogue.kind == Epilogue::Kind::sum;
  multiply_block(product.matrices.front(), x, block, result, kernels.product);
  for (std::size_t index = 1; index < product.matrices.size(); ++index) {
    multiply_block(product.matrices[index], x, block, other, kernels.product);
    if (is_sum)
      for_each_tile([&](int strip, int panel) {
        float* const tile = tile_of(result, block, strip, panel);
        const float* const more = tile_of(other, block, strip, panel);
        for (int i = 0; i < x.rows_of(panel) * kStrip; ++i) tile[i] += more[i];
      });
  }

  const int d_out = product.shape().d_out;
  for_each_tile([&](int strip, int panel) {
    float* const tile = tile_of(result, block, strip, panel);
    const int num_rows = x.rows_of(panel), num_columns = std::min(kStrip, d_out - strip * kStrip);
    if (!is_sum) kernels.gated_gelu(tile, tile_of(other, block, strip, panel), std::size_t(num_rows) * kStrip);
    for (int row = 0; row < num_rows; ++row) {
      const float* const from = tile + row * kStrip;
      float* const out = product.out + std::size_t(panel * kPanelTokens + row) * d_out + std::size_t(strip) * kStrip;
      if (epilogue.scale == 1)
        std::memcpy(out, from, num_columns * sizeof(float));
      else
        for (int column = 0; column < num_columns; ++column) out[column] = epilogue.scale * from[column];
    }
  });
}

}  // namespace

// Bytes for the rows of a mapped matrix that are read at once, and for those of a block after packing.
std::size_t thread_scratch_bytes(const Kernels& kernels, bool is_mapped) {
  const std::size_t rows = std::size_t(std::max(kernels.product.block_rows, kChunkRows)) + kRowsAtOnce + kQuad;
  const std::size_t weights = Scratch::size_bytes(kMaxStrips * kStrip * rows) + 2 * Scratch::kAlignment;
  return kSumsBytes + 2 * kOutBytes + (is_mapped ? std::max(weights, Scratch::kMinBlockBytes) : 0);
}

void multiply(std::span<const Product> products, const Epilogue& epilogue, const Kernels& kernels,
              threads::ThreadPool& pool) {
  const std::vector<ProductBlock> blocks = blocks_of(products, pool.num_threads());
  std::size_t work = 0;
  for (const Product& of : products) work += of.matrices.size() * of.shape().d_in * of.shape().d_out * of.x->num_rows();
  for_each_task(blocks.size(), work / std::max<std::size_t>(blocks.size(), 1), pool, [&](std::size_t task) {
    compute_block(products[blocks[task].product], blocks[task], epilogue, kernels);
  });
}

}  // namespace grok::cpu
