#pragma once

// What kernels use beyond CUDA C++: shared memory by type, and all inline PTX. Each function has a host twin of the same
// name in the emulator of the tests (test/native/emulator/device.h), which is what an ordinary compiler sees.
// Source: PTX ISA; the lane maps of mma are those of "Matrix Fragments for mma.m16n8k32".
#if !defined(__CUDACC__)

#include <emulator/device.h>

#else

#include <cuda_runtime.h>

#include <cstdint>

namespace grok::cuda {

// The block's static variable of this type. Contents undefined.
template <typename T>
__device__ T& static_shared() {
  __shared__ T variable;
  return variable;
}

// The block's dynamic shared memory, as many bytes as the launch asked for. Contents undefined.
template <typename T>
__device__ T* dynamic_shared() {
  extern __shared__ __align__(128) unsigned char dynamic_shared_bytes[];
  return reinterpret_cast<T*>(dynamic_shared_bytes);
}

// 16 bytes that nothing else will ask for soon: read past L1, and first to leave L2.
__device__ inline uint4 load_once(const uint4* from) {
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(from));
  return value;
}

// Copies 16 bytes to shared memory without waiting for them. Both addresses are multiples of 16.
__device__ inline void copy_async_16(void* to_shared, const void* from) {
  const auto to = static_cast<std::uint32_t>(__cvta_generic_to_shared(to_shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}
__device__ inline void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits for all but the last kPending groups of this thread; a barrier makes them known to the others.
template <int kPending>
__device__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Asks for a line of 128 bytes to be in L2 by the time that it is read.
__device__ inline void prefetch_line(const void* from) { asm volatile("prefetch.global.L2 [%0];" ::"l"(from)); }

// Programmatic dependent launch: where the device can (9.0), a launch begins when each block of the one before has let it or
// has returned. Before it waits, a kernel touches only what no launch writes; the wait is for all launches before, since each
// of them waited too. So every thread of every kernel waits.
__device__ inline void let_next_launch_begin() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}
__device__ inline void wait_for_launch_before() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// a / b to two units in the last place, without the slow path of a division that is rounded right.
__device__ inline float quotient(float a, float b) { return __fdividef(a, b); }

// c += a b, a int8 [16, 32], b int8 [32, 8], c int32 [16, 8], exactly, by a whole warp.
__device__ inline void mma_s8(int (&c)[4], const uint4& a, const uint2& b) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
}

}  // namespace grok::cuda

#endif

namespace grok::cuda {

// What a kernel begins with that has nothing to do before its turn.
__device__ inline void take_turn() {
  let_next_launch_begin();
  wait_for_launch_before();
}

}  // namespace grok::cuda
