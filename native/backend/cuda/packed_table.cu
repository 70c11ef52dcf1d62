#include "backend/cuda/packed_table.h"

#include <algorithm>

#include "backend/cuda/footprint.h"
#include "backend/cuda/quantize.h"

namespace grok::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpSize;

struct Rows {
  const float* values;  // [num_rows, layout.d_in()], part of the table
  int num_rows;
  int first_row;  // in the table, a multiple of kTileColumns
  std::int8_t* tiles;
  float* scales;
  InputLayout layout;
  int column_tiles;
};

struct Shared {
  float to_integer[kTileColumns];
};

// One block 16 rows: a warp finds the largest of every 8th row, then writes every 8th tile of the inputs, one for each
// limb. Byte order: pack_tiles of packed_matrix.cu.
template <int kLimbs>
__global__ void __launch_bounds__(kThreads) pack_rows(Rows op) {
  pdl_sync();
  Shared& shared = static_shared<Shared>();
  const int warp = int(threadIdx.x) / kWarpSize, lane = int(threadIdx.x) % kWarpSize;
  const int d_model = op.layout.d_in();
  const int first_row = int(blockIdx.x) * kTileColumns;  // in this part
  const int num_rows = min(kTileColumns, op.num_rows - first_row);
  const float* const values = op.values + std::size_t(first_row) * d_model;

  for (int row = warp; row < kTileColumns; row += kWarps) {
    unsigned largest_bits = 0;
    if (row < num_rows)
#pragma unroll 8
      for (int i = lane; i < d_model; i += kWarpSize)
        largest_bits = max(largest_bits, __float_as_uint(fabsf(values[std::size_t(row) * d_model + i])));
    largest_bits = warp_reduce(largest_bits, [](unsigned a, unsigned b) { return a > b ? a : b; });
    if (lane > 0) continue;

    const SliceScale of_row = scale_of_slice(largest_bits, kLimbs);
    shared.to_integer[row] = of_row.to_integer;
    float scale = of_row.to_value;
    for (int limb = 0; limb < kLimbs; ++limb, scale *= 256.0f)
      op.scales[limb_column<kLimbs>(op.first_row + first_row + row, limb)] = scale;
  }
  __syncthreads();

  for (int row_tile = warp; row_tile < op.layout.num_tiles(); row_tile += kWarps) {
    unsigned registers[kLimbs][4];
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const int row = lane / 4 + 8 * (r % 2), first_input = row_tile * kTileRows + 4 * (lane % 4) + 16 * (r / 2);
      const float to_integer = shared.to_integer[row];
      for (int limb = 0; limb < kLimbs; ++limb) registers[limb][r] = 0;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int input = first_input + i;
        const float value = row < num_rows && input < d_model ? values[std::size_t(row) * d_model + input] : 0.0f;
        int integer = to_integer > 0 ? __float2int_rn(value * to_integer) : 0;
#pragma unroll
        for (int limb = 0; limb < kLimbs; ++limb) {
          const auto low = std::int8_t(integer);
          registers[limb][r] |= unsigned(std::uint8_t(low)) << (8 * i);
          integer = (integer - low) / 256;  // exact
        }
      }
    }
#pragma unroll
    for (int limb = 0; limb < kLimbs; ++limb) {
      const int column_tile = limb_column<kLimbs>(op.first_row + first_row, limb) / kTileColumns;
      const std::size_t place = place_of_tile(op.layout, op.column_tiles, row_tile, column_tile);
      reinterpret_cast<uint4*>(op.tiles + place * kTileBytes)[lane] =
          make_uint4(registers[limb][0], registers[limb][1], registers[limb][2], registers[limb][3]);
    }
  }
}

int whole_tiles(int vocab_size) { return (vocab_size + kTileColumns - 1) / kTileColumns; }

// Rows that are uploaded at once: a multiple of kTileColumns, or all.
int rows_at_once(int vocab_size, int d_model) {
  const std::size_t tiles = kUploadBytes / (std::size_t(d_model) * kTileColumns * sizeof(float));
  return std::min(vocab_size, int(std::clamp<std::size_t>(tiles, 1, whole_tiles(vocab_size))) * kTileColumns);
}

}  // namespace

void count_table_upload(int vocab_size, int d_model, DeviceScratch& scratch) {
  scratch.of<float>(std::size_t(rows_at_once(vocab_size, d_model)) * d_model);
}

MatrixShape CudaTable::shape_of(int vocab_size, int d_model, int num_limbs) {
  return MatrixShape(d_model, whole_tiles(vocab_size) * num_limbs * kTileColumns);
}

CudaTable::CudaTable(const TensorView& f32, int num_limbs, Upload& upload, DeviceScratch& scratch, Stream& stream)
    : vocab_size(int(f32.shape[0])), d_model(int(f32.shape[1])), columns_(shape_of(vocab_size, d_model, num_limbs)) {
  scratch.clear();
  const int at_once = rows_at_once(vocab_size, d_model);
  auto* const uploaded = scratch.of<float>(std::size_t(at_once) * d_model);
  for (int first_row = 0; first_row < vocab_size; first_row += at_once) {
    const Rows rows{.values = uploaded,
                    .num_rows = std::min(at_once, vocab_size - first_row),
                    .first_row = first_row,
                    .tiles = columns_.tiles(),
                    .scales = columns_.scales(),
                    .layout = columns_.layout,
                    .column_tiles = columns_.column_tiles};
    const std::size_t row_bytes = std::size_t(d_model) * sizeof(float), size_bytes = rows.num_rows * row_bytes;
    f32.read(first_row * row_bytes, {upload.next(size_bytes), size_bytes});
    upload.send(uploaded, size_bytes);  // the stream orders this after packing of the last part
    stream.launch("packing the embedding", {.blocks = unsigned(whole_tiles(rows.num_rows)), .threads = kThreads},
                  num_limbs == 2 ? pack_rows<2> : pack_rows<3>, rows);
  }
}

}  // namespace grok::cuda
