#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/device.h"
#include "backend/cuda/packed_table.h"

namespace grok::cuda {
namespace {

constexpr int kThreads = 256;

struct Lookup {
  float* out;  // [num_tokens, d_model]
  const std::int32_t* tokens;
  const unsigned* words;  // words of the tiles
  const float* scales;
  InputLayout layout;
  int column_tiles;
  float scale;
};

// One block a token, one thread 4 values, which lie in one word of each limb: see pack_tiles of packed_matrix.cu.
// Limited by memory: reads num_limbs bytes and writes a float for each of d_model values a token.
template <int kLimbs>
__global__ void __launch_bounds__(kThreads) embed_tokens(Lookup op) {
  pdl_sync();
  const int row = op.tokens[blockIdx.x], column = row % kTileColumns, d_model = op.layout.d_in();
  const float scale = op.scales[limb_column<kLimbs>(row, 0)] * op.scale;
  float* const out = op.out + std::size_t(blockIdx.x) * d_model;
  for (int first = 4 * int(threadIdx.x); first < d_model; first += 4 * kThreads) {
    const int word = (column % 8 * 4 + first / 4 % 4) * 4 + column / 8 + first / 16 % 2 * 2;  // index in the tile
    unsigned words[kLimbs];
#pragma unroll
    for (int limb = 0; limb < kLimbs; ++limb) {
      const int column_tile = limb_column<kLimbs>(row, limb) / kTileColumns;
      const std::size_t place = place_of_tile(op.layout, op.column_tiles, first / kTileRows, column_tile);
      words[limb] = op.words[place * (kTileBytes / 4) + word];
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      int integer = 0;
#pragma unroll
      for (int limb = kLimbs - 1; limb >= 0; --limb)
        integer = integer * 256 + std::int8_t(words[limb] >> (8 * i) & 255);
      if (first + i < d_model) out[first + i] = float(integer) * scale;
    }
  }
}

}  // namespace

// The attributes of any kernel tell whether the binary has code for this device.
cudaError_t find_kernels() {
  cudaFuncAttributes attributes;
  const cudaError_t error = cudaFuncGetAttributes(&attributes, embed_tokens<2>);
  cudaGetLastError();
  return error;
}

void CudaBackend::embed(const Embed& op) {
  const auto& table = static_cast<const CudaTable&>(*op.table);
  const Lookup lookup{.out = op.out,
                      .tokens = op.batch->tokens,
                      .words = reinterpret_cast<const unsigned*>(table.columns().tiles()),
                      .scales = table.columns().scales(),
                      .layout = table.columns().layout,
                      .column_tiles = table.columns().column_tiles,
                      .scale = op.scale};
  stream_.launch("embed", {.blocks = unsigned(op.batch->num_tokens), .threads = kThreads},
                 options_.num_limbs == 2 ? embed_tokens<2> : embed_tokens<3>, lookup);
}

}  // namespace grok::cuda
