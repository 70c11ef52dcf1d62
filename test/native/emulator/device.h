#pragma once

#if !defined(EMULATED_NVCC)
#error "device code in a file that the C++ compiler gets, not nvcc, in a build for a device"
#endif

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "emulator/emulator.h"

// The host twins of native/backend/cuda/device.h: the same functions, with the lane maps of the PTX manual. Source: PTX
// ISA, "Matrix Fragments for mma.m16n8k32"
namespace grok::cuda {

template <typename T>
T& static_shared() {
  static const char identity = 0;
  return *static_cast<T*>(emulator::static_shared(&identity, sizeof(T)));
}

template <typename T>
T* dynamic_shared() {
  return static_cast<T*>(emulator::dynamic_shared());
}

inline uint4 load_once(const uint4* from) { return *from; }

inline void copy_async_16(void* to_shared, const void* from, emulator::Where where = emulator::Where::current()) {
  if (reinterpret_cast<std::uintptr_t>(to_shared) % 16 || reinterpret_cast<std::uintptr_t>(from) % 16)
    emulator::report("copy_async_16: an address is not a multiple of 16, line " + std::to_string(where.line()));
  emulator::copy_async(to_shared, from, 16, 0);
}
inline void copy_async_commit() { emulator::copy_async_commit(); }
template <int kPending>
void copy_async_wait() {
  emulator::copy_async_wait(kPending);
}

inline void prefetch_line(const void*) {}

inline void pdl_trigger() { emulator::pdl_trigger(); }
inline void pdl_wait() { emulator::pdl_wait(); }

inline float quotient(float a, float b) { return a / b; }

// Lane maps. a: reg r of lane l holds row l / 4 + 8 (r % 2), and columns from 4 (l % 4) + 16 (r / 2) on. b: reg r holds
// column l / 4, and rows from 4 (l % 4) + 16 r on. c: reg r holds row l / 4 + 8 (r / 2), column 2 (l % 4) + r % 2.
inline void mma_s8(int (&c)[4], const uint4& a, const uint2& b, emulator::Where where = emulator::Where::current()) {
  struct Fragments {
    int* c;
    const uint4* a;
    const uint2* b;
  } mine{c, &a, &b};
  emulator::warp_collective(emulator::kAllLanes, "mma_s8", where, &mine, [](void* const* arguments) {
    std::int8_t left[16][32], right[8][32];
    for (int lane = 0; lane < 32; ++lane) {
      const auto* fragments = static_cast<const Fragments*>(arguments[lane]);
      const unsigned a[4] = {fragments->a->x, fragments->a->y, fragments->a->z, fragments->a->w};
      const unsigned b[2] = {fragments->b->x, fragments->b->y};
      for (int reg = 0; reg < 4; ++reg)
        std::memcpy(&left[lane / 4 + 8 * (reg % 2)][4 * (lane % 4) + 16 * (reg / 2)], &a[reg], 4);
      for (int reg = 0; reg < 2; ++reg) std::memcpy(&right[lane / 4][4 * (lane % 4) + 16 * reg], &b[reg], 4);
    }
    for (int lane = 0; lane < 32; ++lane) {
      auto* fragments = static_cast<Fragments*>(arguments[lane]);
      for (int reg = 0; reg < 4; ++reg) {
        const std::int8_t* row = left[lane / 4 + 8 * (reg / 2)];
        const std::int8_t* column = right[2 * (lane % 4) + reg % 2];
        int sum = 0;
        for (int k = 0; k < 32; ++k) sum += int(row[k]) * int(column[k]);
        fragments->c[reg] += sum;
      }
    }
  });
}

}  // namespace grok::cuda
