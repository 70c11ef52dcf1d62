#include "backend/cuda/packed_matrix.h"

#include <algorithm>
#include <vector>

#include "backend/cuda/device.h"
#include "backend/cuda/footprint.h"

namespace grok::cuda {
namespace {

constexpr int kThreads = 256;

// Tiles along the input that are uploaded at once.
int tiles_at_once(const MatrixShape& shape) {
  const int most = std::min(shape.layout.tiles_per_group(), kSliceTiles);
  return int(std::clamp<std::size_t>(kUploadBytes / (std::size_t(kTileRows) * shape.d_out), 1, most));
}

std::size_t chunk_bytes(const MatrixShape& shape) {
  return std::size_t(tiles_at_once(shape)) * kTileRows * shape.d_out;
}

// One warp a tile, one lane its 16 bytes: register r of lane l holds output l / 4 + 8 (r % 2). Its four inputs start at
// 4 (l % 4) + 16 (r / 2).
__global__ void __launch_bounds__(kThreads)
    pack_tiles(std::int8_t* tiles,         // first column tile of the slice's tile `first_tile`
               const std::int8_t* stored,  // [num_rows, d_out]
               int num_rows, int d_out, int num_tiles, int column_tiles, int slice_tiles, int first_tile) {
  pdl_sync();
  const std::size_t lane = (std::size_t(blockIdx.x) * kThreads + threadIdx.x) % 32;
  const std::size_t tile = (std::size_t(blockIdx.x) * kThreads + threadIdx.x) / 32;
  if (tile >= std::size_t(num_tiles) * column_tiles) return;
  const int column_tile = int(tile % column_tiles), row_tile = int(tile / column_tiles);

  unsigned registers[4];
  for (int r = 0; r < 4; ++r) {
    const int column = column_tile * kTileColumns + int(lane) / 4 + 8 * (r % 2);
    const int first_row = row_tile * kTileRows + 4 * (int(lane) % 4) + 16 * (r / 2);
    unsigned bytes = 0;
    for (int i = 0; i < 4; ++i) {
      const int row = first_row + i;
      const std::int8_t weight = row < num_rows && column < d_out ? stored[std::size_t(row) * d_out + column] : 0;
      bytes |= unsigned(std::uint8_t(weight)) << (8 * i);
    }
    registers[r] = bytes;
  }
  const std::size_t place = std::size_t(column_tile) * slice_tiles + first_tile + row_tile;
  reinterpret_cast<uint4*>(tiles + place * kTileBytes)[lane] =
      make_uint4(registers[0], registers[1], registers[2], registers[3]);
}

}  // namespace

void count_upload(const MatrixShape& shape, DeviceScratch& scratch) { scratch.of<std::byte>(chunk_bytes(shape)); }

CudaMatrix::CudaMatrix(const Linear& stored, Upload& upload, DeviceScratch& scratch, Stream& stream)
    : MatrixShape(stored), tiles_(tile_bytes()), scales_(num_scales() * sizeof(float)) {
  scratch.clear();
  auto* const uploaded = scratch.of<std::int8_t>(chunk_bytes(*this));

  for (int expert = 0; expert < num_experts; ++expert)
    for (int slice = 0; slice < layout.num_slices(); ++slice) {
      const std::size_t place = std::size_t(expert) * layout.num_tiles() + layout.first_tile(slice);
      std::int8_t* const to = tiles_.as<std::int8_t>() + place * column_tiles * kTileBytes;
      for (int tile = 0; tile < layout.tiles_of(slice); tile += tiles_at_once(*this)) {
        const int num_tiles = std::min(tiles_at_once(*this), layout.tiles_of(slice) - tile);
        const int num_rows = std::min(num_tiles * kTileRows, layout.rows_of(slice) - tile * kTileRows);
        const std::size_t first_row = std::size_t(expert) * d_in + layout.first_row(slice) + tile * kTileRows;
        const std::size_t size_bytes = std::size_t(num_rows) * d_out;
        stored.weight.read(first_row * d_out, {upload.next(size_bytes), size_bytes});
        upload.send(uploaded, size_bytes);  // the stream orders this after packing of the last part
        const std::size_t num_threads = std::size_t(num_tiles) * column_tiles * 32;
        stream.launch("packing a matrix",
                      {.blocks = unsigned((num_threads + kThreads - 1) / kThreads), .threads = kThreads}, pack_tiles,
                      to, uploaded, num_rows, d_out, num_tiles, column_tiles, layout.tiles_of(slice), tile);
      }
    }

  const int num_groups = layout.num_groups, width = column_tiles * kTileColumns;
  std::vector<std::uint16_t> bits(std::size_t(num_experts) * num_groups *
                                  d_out);  // bf16 [num_experts, num_groups, d_out]
  stored.scales.read(0, std::as_writable_bytes(std::span(bits)));
  auto* const padded = reinterpret_cast<float*>(upload.next(scales_.size_bytes()));  // [num_experts, num_groups, width]
  for (std::size_t row = 0; row < std::size_t(num_experts) * num_groups; ++row)
    for (int column = 0; column < width; ++column)
      padded[row * width + column] = column < d_out ? bf16_to_f32(bits[row * d_out + column]) : 0.0f;
  upload.send(scales_.data(), scales_.size_bytes());
}

}  // namespace grok::cuda
