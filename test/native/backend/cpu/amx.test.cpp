#include "testing.h"

#if defined(__x86_64__)

#include <random>
#include <vector>

// The kernel's own source, on tiles in software and under other names than the library's.
#include "support/software_tiles.h"
#define accumulate_amx accumulate_software
#define configure_tiles configure_software
#include "backend/cpu/isa/product_amx.cpp"

namespace grok::cpu {
void configure_software(int num_rows) { software_tiles::tiles.num_rows = num_rows; }
}  // namespace grok::cpu

using namespace grok;
using namespace grok::cpu;

namespace {

constexpr int kLimbSums = 2 * kPanelTokens * kHalf;

template <typename T>
std::vector<T> random_bytes(std::size_t size, std::mt19937& random) {
  std::vector<T> bytes(size);
  for (T& byte : bytes) byte = T(random());
  return bytes;
}

template <int kNumLimbs>
void check_sums() {
  std::mt19937 random(1);
  for (int num_tokens = 1; num_tokens <= kPanelTokens; ++num_tokens)
    for (const int num_chunks : {1, 2, 5})
      for (const bool add : {false, true}) {
        const int num_rows = num_chunks * kChunkRows;
        const auto weights = random_bytes<std::int8_t>(std::size_t(num_rows) * kStrip, random);
        const auto x = random_bytes<std::uint8_t>(std::size_t(num_rows) * kNumLimbs * num_tokens, random);
        std::vector<std::int32_t> sums(kNumLimbs * kLimbSums, 7);

        accumulate_software({.sums = sums.data(),
                             .weights = weights.data(),
                             .x = x.data(),
                             .num_tokens = num_tokens,
                             .num_quads = num_rows / kQuad,
                             .from_memory = !add,
                             .add = add,
                             .next = weights.data(),
                             .next_lines = 3},
                            kNumLimbs);

        for (int limb = 0; limb < kNumLimbs; ++limb)
          for (int token = 0; token < num_tokens; ++token)
            for (int column = 0; column < kStrip; ++column) {
              std::int32_t expected = add ? 7 : 0;
              for (int row = 0; row < num_rows; ++row) {
                const std::size_t chunk = row / kChunkRows, limbs = chunk * kNumLimbs + limb;
                expected += int(x[(limbs * num_tokens + token) * kChunkRows + row % kChunkRows]) *
                            int(weights[(row / kQuad * kStrip + column) * kQuad + row % kQuad]);
              }
              const int half = column / kHalf;
              CHECK_EQ(sums[limb * kLimbSums + (half * kPanelTokens + token) * kHalf + column % kHalf], expected);
            }
      }
}

}  // namespace

TEST("products in tiles are the exact sums, of any number of limbs, tokens and chunks") {
  check_sums<2>();
  check_sums<3>();
}

#endif

TEST_MAIN()
