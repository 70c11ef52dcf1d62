#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "emulator/emulator.h"

// The parts of CUDA C++ and of the runtime that the CUDA backend uses, for an ordinary compiler, so that the same .cu
// files run on the emulator. Names and signatures are CUDA's own. Definitions that only nvcc provides exist if
// EMULATED_NVCC is defined, as it is for .cu files. So a .cpp file that uses them fails here, like in a build for a
// device.

// ---------------------------------------------------------------- the language

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct uint3 {
  unsigned x, y, z;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

#if defined(EMULATED_NVCC)

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

inline unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline int __float2int_rn(float value) { return int(std::nearbyintf(value)); }
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __clzll(long long bits) { return bits ? __builtin_clzll((unsigned long long)(bits)) : 64; }
inline int __ffs(unsigned bits) { return __builtin_ffs(int(bits)); }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }

// Threads share one CPU thread and are never interrupted, so plain arithmetic is atomic.
template <typename T>
T atomicAdd(T* at, T value) {
  const T before = *at;
  *at = before + value;
  return before;
}
template <typename T>
T atomicMax(T* at, T value) {
  const T before = *at;
  if (value > before) *at = value;
  return before;
}
inline void __threadfence() {}

inline void __syncthreads(emulator::Where where = emulator::Where::current()) { emulator::block_barrier(where); }
inline void __syncwarp(unsigned mask = emulator::kAllLanes, emulator::Where where = emulator::Where::current()) {
  emulator::warp_collective(mask, "__syncwarp", where, nullptr, [](void* const*) {});
}

namespace emulator {

template <typename T>
struct Exchange {
  T value;
  unsigned source;  // lane
  T received;
};

template <typename T>
T exchange(unsigned mask, const char* what, Where where, T value, unsigned source) {
  Exchange<T> mine{value, source, value};
  warp_collective(mask, what, where, &mine, [](void* const* arguments) {
    for (int lane = 0; lane < 32; ++lane) {
      if (!arguments[lane]) continue;
      auto* reader = static_cast<Exchange<T>*>(arguments[lane]);
      const auto* from = static_cast<Exchange<T>*>(arguments[reader->source & 31]);
      if (from) reader->received = from->value;  // reading a lane outside the mask returns nothing
    }
  });
  return mine.received;
}

}  // namespace emulator

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, emulator::Where where = emulator::Where::current()) {
  const unsigned lane = emulator::lane(), group = lane & ~unsigned(width - 1);
  return emulator::exchange(mask, "__shfl_sync", where, value, group | (unsigned(source) & unsigned(width - 1)));
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int = 32, emulator::Where where = emulator::Where::current()) {
  return emulator::exchange(mask, "__shfl_xor_sync", where, value, emulator::lane() ^ unsigned(bits));
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int = 32, emulator::Where where = emulator::Where::current()) {
  const unsigned lane = emulator::lane();
  return emulator::exchange(mask, "__shfl_up_sync", where, value, lane >= by ? lane - by : lane);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int = 32, emulator::Where where = emulator::Where::current()) {
  const unsigned lane = emulator::lane();
  return emulator::exchange(mask, "__shfl_down_sync", where, value, lane + by < 32 ? lane + by : lane);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, emulator::Where where = emulator::Where::current()) {
  struct Vote {
    bool yes;
    unsigned votes;
  } mine{predicate != 0, 0};
  emulator::warp_collective(mask, "__ballot_sync", where, &mine, [](void* const* arguments) {
    unsigned votes = 0;
    for (int lane = 0; lane < 32; ++lane)
      if (arguments[lane] && static_cast<Vote*>(arguments[lane])->yes) votes |= 1u << lane;
    for (int lane = 0; lane < 32; ++lane)
      if (arguments[lane]) static_cast<Vote*>(arguments[lane])->votes = votes;
  });
  return mine.votes;
}

inline unsigned __reduce_max_sync(unsigned mask, unsigned value, emulator::Where where = emulator::Where::current()) {
  struct Reduction {
    unsigned value, largest;
  } mine{value, 0};
  emulator::warp_collective(mask, "__reduce_max_sync", where, &mine, [](void* const* arguments) {
    unsigned largest = 0;
    for (int lane = 0; lane < 32; ++lane)
      if (arguments[lane]) largest = max(largest, static_cast<Reduction*>(arguments[lane])->value);
    for (int lane = 0; lane < 32; ++lane)
      if (arguments[lane]) static_cast<Reduction*>(arguments[lane])->largest = largest;
  });
  return mine.largest;
}

#endif  // EMULATED_NVCC

// ---------------------------------------------------------------- the runtime

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
};
enum cudaMemcpyKind { cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaStreamFlags { cudaStreamNonBlocking = 1 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };

namespace emulator {
struct Stream;
struct Event;
struct Graph;
}  // namespace emulator
using cudaStream_t = emulator::Stream*;
using cudaEvent_t = emulator::Event*;
using cudaGraph_t = emulator::Graph*;
using cudaGraphExec_t = emulator::Graph*;
enum cudaEventFlags { cudaEventDisableTiming = 2 };

struct cudaDeviceProp {
  char name[256];
  int major, minor;
  int multiProcessorCount;
  std::size_t totalGlobalMem;
  std::size_t sharedMemPerBlockOptin;
};
struct cudaFuncAttributes {
  int binaryVersion;
};
enum cudaLaunchAttributeID { cudaLaunchAttributeProgrammaticStreamSerialization = 6 };
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    int programmaticStreamSerializationAllowed;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  cudaLaunchAttribute* attrs = nullptr;
  unsigned numAttrs = 0;
};

const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes);
cudaError_t cudaMalloc(void** memory, std::size_t size_bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaMallocHost(void** memory, std::size_t size_bytes);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t size_bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t size_bytes, cudaStream_t stream);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);

namespace emulator {

cudaError_t set_max_dynamic_shared(const void* kernel, int size_bytes);
cudaError_t kernel_attributes(cudaFuncAttributes* attributes);
cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, std::function<void()> body);

// The count-th call of this runtime function from now on returns the error. If the error is sticky, all later calls
// return it, too. Without a name, the count-th call of any function.
void fail(const char* function, cudaError_t error, int count = 1, bool is_sticky = false);
// Returns whether the error occurred.
bool heal();
// Number of kernels that have run.
int num_launches();
// Bytes of allocated device memory. Throws Fault if a write went past the end of an allocation.
std::size_t allocated_bytes();
// Number of streams, events, graphs and pieces of pinned memory that were not released.
int num_objects();

}  // namespace emulator

template <typename Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, int size_bytes) {
  return emulator::set_max_dynamic_shared(reinterpret_cast<const void*>(kernel), size_bytes);
}
template <typename Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, Kernel*) {
  return emulator::kernel_attributes(attributes);
}
template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  const std::tuple<std::decay_t<Parameters>...> kept(std::forward<Arguments>(arguments)...);
  return emulator::launch(*config, reinterpret_cast<const void*>(kernel), [kernel, kept] { std::apply(kernel, kept); });
}
