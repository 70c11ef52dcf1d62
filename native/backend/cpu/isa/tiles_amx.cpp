#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#include <cstdint>

#include "backend/cpu/isa/amx.h"
#include "platform/cpu_features.h"

namespace grok::cpu {

bool can_use_amx() {
  unsigned eax, ebx, ecx, edx;
  constexpr unsigned kAmxTile = 1u << 24, kAmxInt8 = 1u << 25;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || (edx & kAmxTile) == 0 || (edx & kAmxInt8) == 0) return false;
  static const bool permitted = platform::permit_amx_tiles();
  return permitted;
}

namespace {

constexpr int kNumTiles = 8, kWeightsTile = 6, kMaxRows = 16, kRowBytes = 64;

// Source: Intel SDM, LDTILECFG
struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};

}  // namespace

void configure_tiles(int num_rows) {
  static thread_local int configured = 0;
  if (configured == num_rows) return;
  TileConfig config;
  for (int tile = 0; tile < kNumTiles; ++tile) {
    config.row_bytes[tile] = kRowBytes;
    config.rows[tile] = std::uint8_t(tile == kWeightsTile ? kMaxRows : num_rows);
  }
  asm volatile("" : : "r"(&config) : "memory");  // GCC 12's intrinsic declares that it reads only the first 8 bytes
  _tile_loadconfig(&config);
  configured = num_rows;
}

}  // namespace grok::cpu

#endif
