#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

// The tile instructions that product_amx.cpp uses, in software: include this before it, and it runs on any x86-64.
// Source: Intel SDM, TILELOADD, TILESTORED, TILEZERO, TDPBUSD.
namespace software_tiles {

inline constexpr int kRowBytes = 64, kMaxRows = 16, kWeightsTile = 6;

struct Tiles {
  std::uint8_t bytes[8][kMaxRows][kRowBytes];
  int num_rows = 0;  // rows of all tiles except for the weights'
};
inline Tiles tiles;

inline int rows_of(int tile) { return tile == kWeightsTile ? kMaxRows : tiles.num_rows; }

inline void load(int tile, const void* from, std::size_t stride) {
  for (int row = 0; row < rows_of(tile); ++row)
    std::memcpy(tiles.bytes[tile][row], static_cast<const char*>(from) + row * stride, kRowBytes);
}

inline void store(int tile, void* to, std::size_t stride) {
  for (int row = 0; row < rows_of(tile); ++row)
    std::memcpy(static_cast<char*>(to) + row * stride, tiles.bytes[tile][row], kRowBytes);
}

inline void zero(int tile) { std::memset(tiles.bytes[tile], 0, sizeof tiles.bytes[tile]); }

// sums[row, column] += a[row, 64] * b[64, column], four inputs of a column side by side.
inline void multiply(int sums, int a, int b) {
  for (int row = 0; row < rows_of(a); ++row)
    for (int column = 0; column < kRowBytes / 4; ++column) {
      std::int32_t sum;
      std::memcpy(&sum, &tiles.bytes[sums][row][column * 4], sizeof sum);
      for (int k = 0; k < kRowBytes; ++k)
        sum += int(tiles.bytes[a][row][k]) * int(std::int8_t(tiles.bytes[b][k / 4][column * 4 + k % 4]));
      std::memcpy(&tiles.bytes[sums][row][column * 4], &sum, sizeof sum);
    }
}

}  // namespace software_tiles

#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbusd
#define _tile_loadd software_tiles::load
#define _tile_stored software_tiles::store
#define _tile_zero software_tiles::zero
#define _tile_dpbusd software_tiles::multiply
