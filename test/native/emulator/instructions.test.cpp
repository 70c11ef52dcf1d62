#define EMULATED_NVCC
#include <cuda_runtime.h>

#include <cstdint>

#include "emulator/check_kernel.h"
#include "emulator/device.h"
#include "testing.h"

using emulator::contains;
using emulator::fault_of;
using emulator::kSeeds;
using namespace grok::cuda;

TEST("shuffles, votes and maxima follow the lanes") {
  emulator::run({}, {64, 1, 1}, 0, [] {
    const int lane = int(threadIdx.x) % 32;
    CHECK_EQ(__shfl_xor_sync(0xffffffffu, lane, 5), lane ^ 5);
    CHECK_EQ(__shfl_sync(0xffffffffu, lane, 3), 3);
    CHECK_EQ(__shfl_sync(0xffffffffu, lane, 3, 8), lane / 8 * 8 + 3);
    CHECK_EQ(__shfl_up_sync(0xffffffffu, lane, 4u), lane < 4 ? lane : lane - 4);
    CHECK_EQ(__shfl_down_sync(0xffffffffu, lane, 4u), lane > 27 ? lane : lane + 4);
    CHECK_EQ(__ballot_sync(0xffffffffu, lane % 3 == 0), 0x49249249u);
    CHECK_EQ(__reduce_max_sync(0xffffffffu, unsigned(lane * 5 % 32)), 31u);
    if (lane < 16) CHECK_EQ(__shfl_xor_sync(0xffffu, lane, 1), lane ^ 1);
  });
}

TEST("the matrix instruction multiplies by the lane maps of the PTX manual, and any other map is wrong") {
  std::int8_t a[16][32], b[32][8];
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < 32; ++k) a[row][k] = std::int8_t((row * 37 + k * 11) % 256 - 128);
  for (int k = 0; k < 32; ++k)
    for (int column = 0; column < 8; ++column) b[k][column] = std::int8_t((k * 29 + column * 53) % 256 - 128);

  enum class Mistake { none, halves_of_a_swapped, b_by_rows, c_transposed };
  const auto errors = [&](Mistake mistake) {
    int found[16][8] = {};
    emulator::run({}, {32, 1, 1}, 0, [&] {
      const int lane = int(threadIdx.x), group = lane / 4, place = lane % 4;
      const auto four = [](const auto& byte_at) {
        unsigned bytes = 0;
        for (int i = 0; i < 4; ++i) bytes |= unsigned(std::uint8_t(byte_at(i))) << (8 * i);
        return bytes;
      };
      unsigned left[4], right[2];
      for (int r = 0; r < 4; ++r) {
        const int half = mistake == Mistake::halves_of_a_swapped ? r / 2 : r % 2;
        const int other = mistake == Mistake::halves_of_a_swapped ? r % 2 : r / 2;
        left[r] = four([&](int i) { return a[group + 8 * half][4 * place + 16 * other + i]; });
      }
      for (int r = 0; r < 2; ++r)
        right[r] = four([&](int i) {
          return mistake == Mistake::b_by_rows ? b[lane % 32][(4 * r + i) % 8] : b[4 * place + 16 * r + i][group];
        });
      int c[4] = {};
      mma_s8(c, make_uint4(left[0], left[1], left[2], left[3]), make_uint2(right[0], right[1]));
      for (int r = 0; r < 4; ++r) {
        const int row = group + 8 * (r / 2), column = 2 * place + r % 2;
        if (mistake == Mistake::c_transposed)
          found[2 * group + r % 2][2 * place + r / 2] = c[r];
        else
          found[row][column] = c[r];
      }
    });
    int wrong = 0;
    for (int row = 0; row < 16; ++row)
      for (int column = 0; column < 8; ++column) {
        int expected = 0;
        for (int k = 0; k < 32; ++k) expected += int(a[row][k]) * int(b[k][column]);
        wrong += found[row][column] != expected;
      }
    return wrong;
  };
  CHECK_EQ(errors(Mistake::none), 0);
  CHECK(errors(Mistake::halves_of_a_swapped) > 100);
  CHECK(errors(Mistake::b_by_rows) > 100);
  CHECK(errors(Mistake::c_transposed) > 60);
}

TEST("an asynchronous copy has completed after the wait for it, and earlier only by luck") {
  alignas(16) const int from[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  int early = 0;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    emulator::settings().seed = std::uint64_t(seed);
    emulator::run({}, {1, 1, 1}, 64, [&] {  // reads the second group after the wait for the first
      int* to = dynamic_shared<int>();
      copy_async_16(to, from);
      copy_async_commit();
      copy_async_16(to + 4, from + 4);
      copy_async_commit();
      copy_async_wait<1>();
      CHECK_EQ(to[3], 4);
      early += to[7] == 8;
      copy_async_wait<0>();
      CHECK_EQ(to[7], 8);
    });
  }
  emulator::settings() = {};
  CHECK(early > 0 && early < kSeeds);
  CHECK(contains(fault_of(1, [&] { copy_async_16(dynamic_shared<int>(), from); }), "never waited for"));
  CHECK(contains(fault_of(1, [&] { copy_async_16(dynamic_shared<int>(), from + 1); }), "multiple of 16"));
}

TEST_MAIN()
