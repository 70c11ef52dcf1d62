#include "backend/cuda/packed_matrix.h"

#include <algorithm>
#include <vector>

#include "backend/cuda/device.h"

namespace grok {
namespace {

constexpr int kThreads = 256;
// Bytes of the file that go to the device at once.
constexpr std::size_t kUploadBytes = std::size_t(16) << 20;

int axis_from_end(const TensorView& view, std::size_t from_end) {
  return int(view.shape[view.shape.size() - from_end]);
}

int experts_of(const TensorView& view) { return view.shape.size() == 3 ? int(view.shape[0]) : 1; }

int column_tiles_of(const TensorView& view) { return (axis_from_end(view, 1) + kTileColumns - 1) / kTileColumns; }

InputLayout layout_of(const QuantizedView& stored) {
  const int num_groups = axis_from_end(stored.scales, 2);
  return {.group_rows = axis_from_end(stored.weight, 2) / num_groups, .num_groups = num_groups};
}

std::size_t tile_bytes(const QuantizedView& stored) {
  return std::size_t(experts_of(stored.weight)) * layout_of(stored).num_tiles() * column_tiles_of(stored.weight) *
         kTileBytes;
}

std::size_t num_scales(const QuantizedView& stored) {
  return std::size_t(experts_of(stored.weight)) * layout_of(stored).num_groups * column_tiles_of(stored.weight) *
         kTileColumns;
}

// One warp a tile, one lane its 16 bytes: register r of lane l holds output l / 4 + 8 (r % 2), inputs 4 (l % 4) + 16 (r / 2)
// and the three behind it.
__global__ void __launch_bounds__(kThreads)
    pack_tiles(std::int8_t* tiles,         // of the first column tile of the slice's tile `first_tile`
               const std::int8_t* stored,  // [num_rows, d_out]
               int num_rows, int d_out, int num_tiles, int column_tiles, int slice_tiles, int first_tile) {
  take_turn();
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

std::uint64_t CudaMatrix::size_bytes(const QuantizedView& stored) {
  return tile_bytes(stored) + num_scales(stored) * sizeof(float);
}

CudaMatrix::CudaMatrix(const QuantizedView& stored, PinnedMemory& pinned, Stream& stream)
    : num_experts(experts_of(stored.weight)),
      d_in(axis_from_end(stored.weight, 2)),
      d_out(axis_from_end(stored.weight, 1)),
      layout(layout_of(stored)),
      column_tiles(column_tiles_of(stored.weight)),
      tiles_(tile_bytes(stored)),
      scales_(num_scales(stored) * sizeof(float)) {
  const int tiles_at_once =
      int(std::clamp<std::size_t>(kUploadBytes / (std::size_t(kTileRows) * d_out), 1, kSliceTiles));
  const std::size_t chunk_bytes = std::size_t(tiles_at_once) * kTileRows * d_out;
  const DeviceMemory uploaded(chunk_bytes);

  for (int expert = 0; expert < num_experts; ++expert)
    for (int slice = 0; slice < layout.num_slices(); ++slice) {
      const std::size_t place = std::size_t(expert) * layout.num_tiles() + layout.first_tile(slice);
      std::int8_t* const to = tiles_.as<std::int8_t>() + place * column_tiles * kTileBytes;
      for (int tile = 0; tile < layout.tiles_of(slice); tile += tiles_at_once) {
        const int num_tiles = std::min(tiles_at_once, layout.tiles_of(slice) - tile);
        const int num_rows = std::min(num_tiles * kTileRows, layout.rows_of(slice) - tile * kTileRows);
        const std::size_t first_row = std::size_t(expert) * d_in + layout.first_row(slice) + tile * kTileRows;
        const std::size_t size_bytes = std::size_t(num_rows) * d_out;
        std::byte* const host = pinned.of(chunk_bytes);
        stored.weight.read(first_row * d_out, {host, size_bytes});
        stream.copy_to_device(uploaded.data(), host, size_bytes);
        const std::size_t num_threads = std::size_t(num_tiles) * column_tiles * 32;
        stream.launch("packing a matrix",
                      {.blocks = unsigned((num_threads + kThreads - 1) / kThreads), .threads = kThreads}, pack_tiles,
                      to, uploaded.as<std::int8_t>(), num_rows, d_out, num_tiles, column_tiles, layout.tiles_of(slice),
                      tile);
        stream.synchronize();
      }
    }

  const int num_groups = layout.num_groups, width = column_tiles * kTileColumns;
  std::vector<std::uint16_t> bits(std::size_t(num_experts) * num_groups *
                                  d_out);  // bf16 [num_experts, num_groups, d_out]
  stored.scales.read(0, std::as_writable_bytes(std::span(bits)));
  auto* const padded = reinterpret_cast<float*>(pinned.of(scales_.size_bytes()));  // [num_experts, num_groups, width]
  for (std::size_t row = 0; row < std::size_t(num_experts) * num_groups; ++row)
    for (int column = 0; column < width; ++column)
      padded[row * width + column] = column < d_out ? bf16_to_f32(bits[row * d_out + column]) : 0.0f;
  stream.copy_to_device(scales_.data(), padded, scales_.size_bytes());
  stream.synchronize();
}

}  // namespace grok
