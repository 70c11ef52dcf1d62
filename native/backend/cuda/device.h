#pragma once

// Device functions beyond CUDA C++: shared memory by type, and all inline PTX. Each function has a host twin of the
// same name in the emulator of the tests (test/native/emulator/device.h), which an ordinary compiler uses. Source: PTX
// ISA; the lane maps of mma are those of "Matrix Fragments for mma.m16n8k32".
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

// The block's dynamic shared memory, whose size is an argument of the launch. Contents undefined.
template <typename T>
__device__ T* dynamic_shared() {
  extern __shared__ __align__(128) unsigned char dynamic_shared_bytes[];
  return reinterpret_cast<T*>(dynamic_shared_bytes);
}

// Loads 16 bytes that are not read again soon: bypasses L1, and L2 evicts them first.
__device__ inline uint4 load_once(const uint4* from) {
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(from));
  return value;
}

// Copies 16 bytes to shared memory asynchronously. Both addresses are multiples of 16.
__device__ inline void copy_async_16(void* to_shared, const void* from) {
  const auto to = static_cast<std::uint32_t>(__cvta_generic_to_shared(to_shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}
__device__ inline void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits for all but the last kPending groups of this thread. A barrier makes them visible to the other threads.
template <int kPending>
__device__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Prefetches a line of 128 bytes into L2.
__device__ inline void prefetch_line(const void* from) { asm volatile("prefetch.global.L2 [%0];" ::"l"(from)); }

// With programmatic dependent launch (PDL, sm_90 and later), a kernel may start once every block of its predecessor has
// triggered or exited. Before waiting, a kernel may read only data that no kernel writes. Waiting orders it after *all*
// earlier kernels, provided that each of them waited too. Therefore every thread of every kernel must wait.
__device__ inline void pdl_trigger() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}
__device__ inline void pdl_wait() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// a / b to two units in the last place, without the slow path of an exactly rounded division.
__device__ inline float quotient(float a, float b) { return __fdividef(a, b); }

// c += a b for int8 a [16, 32], int8 b [32, 8] and int32 c [16, 8], exactly, by a whole warp.
__device__ inline void mma_s8(int (&c)[4], const uint4& a, const uint2& b) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
}

}  // namespace grok::cuda

#endif

namespace grok::cuda {

// Called at the start of a kernel that has no work before its predecessor ends.
__device__ inline void pdl_sync() {
  pdl_trigger();
  pdl_wait();
}

}  // namespace grok::cuda
