#include "backend/cuda/product.h"

#include <algorithm>

#include "backend/cuda/device.h"

namespace grok::cuda {
namespace {

constexpr int kWarps = 6, kThreads = kWarps * kWarpSize;
// One block accumulates while the other stages. Grok-1's smaller matrices have 3072 units of work: two rounds of 12
// warps.
constexpr int kBlocksPerMultiprocessor = 2;
constexpr int kMmaTokens = 8;  // columns of the right operand of mma m16n8k32
// Tiles that a warp loads at once, and chunks in flight before it uses the first. So 12 warps of a multiprocessor have
// 48 KiB in flight; 3.2 TB/s at a latency of 0.8 microseconds need 20 KiB. Registers could not hold as many beside the
// sums. Requests of 2 KiB of adjacent bytes are 2 % faster than of one tile each, and as fast as bulk copies (H100).
constexpr int kChunk = 4, kChunksAhead = 2;

struct StreamedMatrix {
  const std::int8_t* tiles;  // [num_experts, num_tiles, column_tiles, kTileBytes]
  const float* scales;       // [num_experts, num_groups, column_tiles * kTileColumns]
  int column_tiles;
  int first_column_tile;  // in the partial sums
};

struct Product {
  StreamedMatrix matrices[kMaxMatrices];
  int num_matrices;
  int column_tiles;  // total of all matrices
  InputLayout layout;
  LimbRows x;
  JobList jobs;
  float* partials;  // [num_slices, num_positions, column_tiles * kTileColumns]
};

// Shared memory of a block. A lane's weights are its own 16 bytes of each tile, which no other lane reads. Activations
// are those of one (job, slice), as right operands of mma: lane l holds column l / 4, inputs 4 (l % 4) and 16 more.
template <int kTokenTiles, int kLimbs>
struct Shared {
  uint4 weights[kWarps][kChunksAhead][kChunk][kWarpSize];
  uint2 limbs[kSliceTiles][kTokenTiles][kLimbs][kWarpSize];
  float scales[kTokenTiles * kMmaTokens];
};
// Limit of compute capability 8.6 and 8.9, the smallest of all.
constexpr std::size_t kMostSharedBytes = 99 * 1024;

__device__ inline int row_of(const Product& op, int position) {
  return op.x.num_rows == 1 ? 0 : op.jobs.row_of_position ? op.jobs.row_of_position[position] : position;
}

// Two threads copy a row's 32 limb bytes of one tile, sixteen threads those of eight rows: their writes are adjacent.
template <int kTokenTiles, int kLimbs>
__device__ void stage(Shared<kTokenTiles, kLimbs>& shared, const Product& op, const Job& job, int slice) {
  constexpr int kThreadsOfTile = 2 * kMmaTokens, kTilesAtOnce = kThreads / kThreadsOfTile;
  constexpr int kLoads = (kSliceTiles + kTilesAtOnce - 1) / kTilesAtOnce;
  const int num_tiles = op.layout.tiles_of(slice);
  const int half = int(threadIdx.x) % 2, column = int(threadIdx.x) / 2 % kMmaTokens;
  const int first_tile = int(threadIdx.x) / kThreadsOfTile;
#pragma unroll
  for (int token_tile = 0; token_tile < kTokenTiles; ++token_tile) {
    const int index = token_tile * kMmaTokens + column;
    const bool is_used = index < job.count;
    const int row = is_used ? row_of(op, job.first + index) : 0;
    uint4 loaded[kLimbs][kLoads];  // all loads are issued before the first is used
#pragma unroll
    for (int limb = 0; limb < kLimbs; ++limb) {
      const std::int8_t* const limbs = op.x.limbs + (std::size_t(limb) * op.x.num_rows + row) * op.layout.padded_rows();
      const auto* from = reinterpret_cast<const uint4*>(limbs + std::size_t(op.layout.first_tile(slice)) * kTileRows);
#pragma unroll
      for (int load = 0; load < kLoads; ++load) {
        const int tile = first_tile + load * kTilesAtOnce;
        loaded[limb][load] = is_used && tile < num_tiles ? from[2 * tile + half] : make_uint4(0, 0, 0, 0);
      }
    }
#pragma unroll
    for (int limb = 0; limb < kLimbs; ++limb)
#pragma unroll
      for (int load = 0; load < kLoads; ++load)
        if (const int tile = first_tile + load * kTilesAtOnce; tile < num_tiles)
          *reinterpret_cast<uint4*>(&shared.limbs[tile][token_tile][limb][column * 4 + 2 * half]) = loaded[limb][load];
  }
  if (const int index = int(threadIdx.x); index < kTokenTiles * kMmaTokens)
    shared.scales[index] =
        index < job.count ? op.x.scales[std::size_t(row_of(op, job.first + index)) * op.layout.num_slices() + slice]
                          : 0.0f;
}

// Addresses of the weights and scales of one unit of work.
struct Unit {
  const uint4* tiles;   // of this lane: every kWarpSize-th
  const float* scales;  // [kTileColumns]
};

__device__ inline Unit unit_of(const Product& op, int expert, int slice, int column_tile) {
  int index = 0;
  while (index + 1 < op.num_matrices && column_tile >= op.matrices[index + 1].first_column_tile) ++index;
  const StreamedMatrix& matrix = op.matrices[index];
  const int own_tile = column_tile - matrix.first_column_tile;
  const std::size_t tile =
      (std::size_t(expert) * op.layout.num_tiles() + op.layout.first_tile(slice)) * matrix.column_tiles +
      std::size_t(own_tile) * op.layout.tiles_of(slice);
  const std::size_t group = std::size_t(expert) * op.layout.num_groups + op.layout.group_of(slice);
  return {reinterpret_cast<const uint4*>(matrix.tiles + tile * kTileBytes) + threadIdx.x % kWarpSize,
          matrix.scales + (group * matrix.column_tiles + own_tile) * kTileColumns};
}

template <int kTokenTiles>
__device__ Job job_at(const JobList& jobs, int index) {
  constexpr int kPositions = kTokenTiles * kMmaTokens;
  return jobs.jobs      ? jobs.jobs[index]
         : jobs.experts ? Job{jobs.experts[index], index, 1}
                        : Job{0, index * kPositions, min(kPositions, jobs.num_positions - index * kPositions)};
}

// A unit of work: one job's sums over one slice for kTileColumns columns. Units are ordered like the weights in memory.
struct Place {
  int job, slice, column_tile;

  __device__ void advance(const Product& op, int num_units) {
    for (column_tile += num_units; column_tile >= op.column_tiles; column_tile -= op.column_tiles)
      if (++slice == op.layout.num_slices()) {
        slice = 0;
        ++job;
      }
  }
};

// The tiles of a warp's units, chunk by chunk, with kChunksAhead of them in flight. A chunk belongs to one unit.
template <int kTokenTiles>
struct TileStream {
  const Product& op;
  uint4 (*ring)[kChunk][kWarpSize];  // [kChunksAhead]
  Place place;                       // of the next chunk to load
  int unit, last_unit;
  const uint4* from = nullptr;  // for this lane
  int tile = 0, num_tiles = 0, loaded = 0, used = 0;

  __device__ void load_next() {
    if (unit < last_unit) {
      if (tile == 0) {
        from = unit_of(op, job_at<kTokenTiles>(op.jobs, place.job).expert, place.slice, place.column_tile).tiles;
        num_tiles = op.layout.tiles_of(place.slice);
      }
#pragma unroll
      for (int i = 0; i < kChunk; ++i)
        if (tile + i < num_tiles)
          copy_async_16(&ring[loaded][i][threadIdx.x % kWarpSize], from + (tile + i) * kWarpSize);
      loaded = (loaded + 1) % kChunksAhead;
      tile += kChunk;
      if (tile >= num_tiles) {
        tile = 0;
        unit += kWarps;
        place.advance(op, kWarps);
      }
    }
    copy_async_commit();  // one group a chunk, even an empty one, so that the wait counts correctly
  }
  // Prefetches the rest of the current unit. No more, because L2 has room for little more than one unit of every warp.
  __device__ void prefetch() const {
    constexpr int kLineBytes = 128, kLines = kTileBytes / kLineBytes;  // per tile
    const int lane = int(threadIdx.x) % kWarpSize;
    const auto* const first = reinterpret_cast<const std::byte*>(from - lane + tile * kWarpSize);
    for (int line = lane; tile > 0 && line < (num_tiles - tile) * kLines; line += kWarpSize)
      prefetch_line(first + line * kLineBytes);
  }
  // Returns the next chunk, valid until it is used up.
  __device__ const uint4 (*next())[kWarpSize] {
    copy_async_wait<kChunksAhead - 1>();
    return ring[used];
  }
  __device__ void use_up() {
    used = (used + 1) % kChunksAhead;
    load_next();
  }
};

// Each block takes an equal run of units, of any experts, and each of its warps every kWarps-th unit: no sum leaves its
// warp. Units of one (job, slice) share the staged activations; the next weights are loaded while activations are
// staged. Weights that belong to no expert are prefetched before the activations are ready. Limited by memory: reads
// each weight of an expert once for a job.
template <int kTokenTiles, int kLimbs>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor) stream_product(Product op) {
  auto& shared = *dynamic_shared<Shared<kTokenTiles, kLimbs>>();
  pdl_trigger();
  const bool has_experts = op.jobs.jobs || op.jobs.experts;
  if (has_experts) pdl_wait();  // the experts are its output
  const int warp = int(threadIdx.x) / kWarpSize, lane = int(threadIdx.x) % kWarpSize;
  const int num_slices = op.layout.num_slices();
  constexpr int kPositions = kTokenTiles * kMmaTokens;
  const int num_jobs = op.jobs.jobs      ? *op.jobs.num_jobs
                       : op.jobs.experts ? op.jobs.num_positions
                                         : (op.jobs.num_positions + kPositions - 1) / kPositions;
  const long long num_units = (long long)num_jobs * num_slices * op.column_tiles;
  const int last_unit = int(num_units * (blockIdx.x + 1) / gridDim.x);

  int unit = int(num_units * blockIdx.x / gridDim.x);
  Place place{unit / op.column_tiles / num_slices, unit / op.column_tiles % num_slices, unit % op.column_tiles};
  int own_unit = unit + warp;
  Place own_place = place;
  own_place.advance(op, warp);
  TileStream<kTokenTiles> tiles{op, shared.weights[warp], own_place, own_unit, last_unit};
  for (int i = 0; i < kChunksAhead; ++i) tiles.load_next();
  if (!has_experts) tiles.prefetch();  // memory is idle until the activations are ready

  while (unit < last_unit) {
    const Job job = job_at<kTokenTiles>(op.jobs, place.job);
    const int slice = place.slice, num_tiles = op.layout.tiles_of(slice);
    const int last_of_slice = min(last_unit, unit + op.column_tiles - place.column_tile);
    pdl_wait();
    __syncthreads();  // all warps have used the last activations
    stage(shared, op, job, slice);
    __syncthreads();

    for (; own_unit < last_of_slice; own_unit += kWarps, own_place.advance(op, kWarps)) {
      // Lane l holds output l / 4 and the one 8 behind it, of position 2 (l % 4) and the next.
      const float* const scales = unit_of(op, job.expert, slice, own_place.column_tile).scales;
      const float scale_of[2] = {scales[lane / 4], scales[lane / 4 + 8]};
      int sums[kTokenTiles][kLimbs][4] = {};
      for (int first_tile = 0; first_tile < num_tiles; first_tile += kChunk) {
        const auto* const chunk = tiles.next();
#pragma unroll
        for (int i = 0; i < kChunk; ++i) {
          const int tile = first_tile + i;
          if (tile >= num_tiles) break;
          const uint4 weights = chunk[i][lane];
#pragma unroll
          for (int token_tile = 0; token_tile < kTokenTiles; ++token_tile) {
            if (token_tile * kMmaTokens >= job.count) break;  // an expert with few tokens, in a launch for many
#pragma unroll
            for (int limb = 0; limb < kLimbs; ++limb)
              mma_s8(sums[token_tile][limb], weights, shared.limbs[tile][token_tile][limb][lane]);
          }
        }
        tiles.use_up();
      }

#pragma unroll
      for (int token_tile = 0; token_tile < kTokenTiles; ++token_tile)
#pragma unroll
        for (int r = 0; r < 4; ++r) {
          const int column = lane / 4 + 8 * (r / 2), position = token_tile * kMmaTokens + 2 * (lane % 4) + r % 2;
          if (position >= job.count) continue;
          float sum = float(sums[token_tile][kLimbs - 1][r]);
#pragma unroll
          for (int limb = kLimbs - 2; limb >= 0; --limb) sum = sum * 256.0f + float(sums[token_tile][limb][r]);
          const std::size_t partials_row = std::size_t(slice) * op.jobs.num_positions + job.first + position;
          op.partials[(partials_row * op.column_tiles + own_place.column_tile) * kTileColumns + column] =
              sum * shared.scales[position] * scale_of[r / 2];
        }
    }
    place.advance(op, last_of_slice - unit);
    unit = last_of_slice;
  }
  copy_async_wait<0>();
  pdl_wait();  // Wait even if this block had no work; later kernels rely on it transitively.
}

template <int kTokenTiles, int kLimbs>
void launch_product(const Product& op, int num_blocks, Stream& stream) {
  static_assert(sizeof(Shared<kTokenTiles, kLimbs>) <= kMostSharedBytes);
  stream.launch(
      "a product",
      {.blocks = unsigned(num_blocks), .threads = kThreads, .shared_bytes = sizeof(Shared<kTokenTiles, kLimbs>)},
      stream_product<kTokenTiles, kLimbs>, op);
}

// The first matrix whose layout differs from the first one's, so that it cannot share its quantized activations.
template <typename Shape>
std::size_t end_of_layout(std::span<const Shape* const> matrices, std::size_t first) {
  std::size_t last = first;
  while (last < matrices.size() && matrices[last]->layout == matrices[first]->layout) ++last;
  return last;
}

// Allocates the partial sums of matrices of one layout, with column_tiles tiles in all.
float* allocate_partials(const InputLayout& layout, int num_positions, int column_tiles, DeviceScratch& scratch) {
  return scratch.of<float>(std::size_t(layout.num_slices()) * num_positions * column_tiles * kTileColumns);
}

}  // namespace

int positions_per_pass(int most_of_an_expert, int num_limbs) {
  if (most_of_an_expert <= kMmaTokens) return kMmaTokens;
  if (most_of_an_expert <= 2 * kMmaTokens || num_limbs == 3) return 2 * kMmaTokens;  // more would not fit
  return 4 * kMmaTokens;
}

void count_product(std::span<const MatrixShape* const> matrices, int num_rows, int num_positions, int num_limbs,
                   DeviceScratch& scratch) {
  for (std::size_t first = 0, last; first < matrices.size(); first = last) {
    last = end_of_layout(matrices, first);
    int column_tiles = 0;
    for (std::size_t m = first; m < last; ++m) column_tiles += matrices[m]->column_tiles;
    limb_rows(num_rows, num_limbs, matrices[first]->layout, scratch);
    allocate_partials(matrices[first]->layout, num_positions, column_tiles, scratch);
  }
}

Products multiply(std::span<const CudaMatrix* const> matrices, const LimbRows& x, int num_limbs, const JobList& jobs,
                  int num_multiprocessors, DeviceScratch& scratch, Stream& stream) {
  Product op{};
  op.layout = matrices[0]->layout;
  op.x = x;
  op.jobs = jobs;
  for (const CudaMatrix* matrix : matrices) {
    op.matrices[op.num_matrices++] = {matrix->tiles(), matrix->scales(), matrix->column_tiles, op.column_tiles};
    op.column_tiles += matrix->column_tiles;
  }
  const int num_slices = op.layout.num_slices();
  op.partials = allocate_partials(op.layout, jobs.num_positions, op.column_tiles, scratch);

  // With enough units for several rounds of every warp, starts more blocks than run at once: a block that ends early
  // takes another.
  constexpr int kMostTurns = 4;
  const int num_resident = kBlocksPerMultiprocessor * num_multiprocessors;
  const int num_rounds = num_slices * op.column_tiles / (num_resident * kWarps);  // for one job
  const int num_blocks = num_resident * (num_rounds >= kMostTurns ? kMostTurns : 1);
  const int token_tiles = jobs.positions_per_job / kMmaTokens;
  if (num_limbs == 2 && token_tiles == 1)
    launch_product<1, 2>(op, num_blocks, stream);
  else if (num_limbs == 2 && token_tiles == 2)
    launch_product<2, 2>(op, num_blocks, stream);
  else if (num_limbs == 2)
    launch_product<4, 2>(op, num_blocks, stream);
  else if (token_tiles == 1)
    launch_product<1, 3>(op, num_blocks, stream);
  else
    launch_product<2, 3>(op, num_blocks, stream);

  Products products;
  for (std::size_t m = 0; m < matrices.size(); ++m) {
    products[m].partials_ = op.partials + op.matrices[m].first_column_tile * kTileColumns;
    products[m].num_slices_ = num_slices;
    products[m].num_positions_ = jobs.num_positions;
    products[m].width_ = op.column_tiles * kTileColumns;
  }
  return products;
}

Products multiply(std::span<const CudaMatrix* const> matrices, const Activations& x, int num_limbs, const JobList& jobs,
                  int num_multiprocessors, DeviceScratch& scratch, Stream& stream) {
  Products products;
  for (std::size_t first = 0, last; first < matrices.size(); first = last) {
    const InputLayout& layout = matrices[first]->layout;
    last = end_of_layout(matrices, first);
    const bool are_there = x.limbs.num_rows > 0 && x.layout == layout;
    const LimbRows rows = are_there ? x.limbs : quantize_rows(x.values, x.num_rows, num_limbs, layout, scratch, stream);
    const Products alike =
        multiply(matrices.subspan(first, last - first), rows, num_limbs, jobs, num_multiprocessors, scratch, stream);
    std::copy_n(alike.begin(), last - first, products.begin() + std::ptrdiff_t(first));
  }
  return products;
}

}  // namespace grok::cuda
