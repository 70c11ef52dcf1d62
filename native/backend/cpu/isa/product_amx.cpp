#if defined(__x86_64__)

#include "backend/cpu/isa/product_amx.h"

#include <immintrin.h>

#include "backend/cpu/isa/amx.h"
#include "backend/cpu/layout/packed_matrix.h"

namespace grok::cpu {

namespace {

constexpr int kTileBytes = 64;  // a row of a tile
constexpr std::size_t kChunkBytes = kChunkRows * kStrip, kPrefetchBytes = kChunkBytes;

// Tiles 0 to 3, or 0 to 5, are the sums, limb by limb, of both halves. Tile 6 holds the weights of a half, whose rows
// are every second line. The others hold activations. The intrinsics accept only literal numbers.
template <int kNumLimbs>
void accumulate(const StripProduct& op) {
  configure_tiles(op.num_tokens);
  asm volatile("" : : : "memory");  // GCC 12's intrinsics do not declare that they read memory
  constexpr std::size_t kQuadBytes = kStrip * kQuad, kSumTile = std::size_t(kPanelTokens) * kTileBytes;
  const std::size_t limb_bytes = std::size_t(op.num_tokens) * kChunkRows;
  char* const sums = static_cast<char*>(op.sums);
  if (op.add) {
    _tile_loadd(0, sums, kTileBytes);
    _tile_loadd(1, sums + kSumTile, kTileBytes);
    _tile_loadd(2, sums + 2 * kSumTile, kTileBytes);
    _tile_loadd(3, sums + 3 * kSumTile, kTileBytes);
    if constexpr (kNumLimbs == 3) {
      _tile_loadd(4, sums + 4 * kSumTile, kTileBytes);
      _tile_loadd(5, sums + 5 * kSumTile, kTileBytes);
    }
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    if constexpr (kNumLimbs == 3) {
      _tile_zero(4);
      _tile_zero(5);
    }
  }

  const std::int8_t* weights = op.weights;
  const std::uint8_t* x = op.x;
  const int num_chunks = op.num_quads / (kChunkRows / kQuad);
  for (int chunk = 0; chunk < num_chunks; ++chunk) {
    if (op.from_memory)
      for (std::size_t line = 0; line < kChunkBytes; line += 64) __builtin_prefetch(weights + kPrefetchBytes + line);
    for (int line = op.next_lines * chunk / num_chunks; line < op.next_lines * (chunk + 1) / num_chunks; ++line)
      __builtin_prefetch(op.next + line * 64, 0, 2);
    _tile_loadd(6, weights, kQuadBytes);
    _tile_loadd(7, x, kTileBytes);
    _tile_dpbusd(0, 7, 6);
    if constexpr (kNumLimbs == 2) {
      _tile_loadd(5, x + limb_bytes, kTileBytes);
      _tile_dpbusd(2, 5, 6);
      _tile_loadd(6, weights + kQuadBytes / 2, kQuadBytes);
      _tile_dpbusd(3, 5, 6);
      _tile_dpbusd(1, 7, 6);
    } else {
      _tile_loadd(7, x + limb_bytes, kTileBytes);
      _tile_dpbusd(2, 7, 6);
      _tile_loadd(7, x + 2 * limb_bytes, kTileBytes);
      _tile_dpbusd(4, 7, 6);
      _tile_loadd(6, weights + kQuadBytes / 2, kQuadBytes);
      _tile_dpbusd(5, 7, 6);
      _tile_loadd(7, x + limb_bytes, kTileBytes);
      _tile_dpbusd(3, 7, 6);
      _tile_loadd(7, x, kTileBytes);
      _tile_dpbusd(1, 7, 6);
    }
    weights += kChunkBytes;
    x += kNumLimbs * limb_bytes;
  }
  _tile_stored(0, sums, kTileBytes);
  _tile_stored(1, sums + kSumTile, kTileBytes);
  _tile_stored(2, sums + 2 * kSumTile, kTileBytes);
  _tile_stored(3, sums + 3 * kSumTile, kTileBytes);
  if constexpr (kNumLimbs == 3) {
    _tile_stored(4, sums + 4 * kSumTile, kTileBytes);
    _tile_stored(5, sums + 5 * kSumTile, kTileBytes);
  }
}

}  // namespace

void accumulate_amx(const StripProduct& op, int num_limbs) { num_limbs == 2 ? accumulate<2>(op) : accumulate<3>(op); }

}  // namespace grok::cpu

#endif
