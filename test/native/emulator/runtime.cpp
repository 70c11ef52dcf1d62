#include <cuda_runtime.h>
#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace emulator {

// A launch, or an action of the host in stream order.
struct Work {
  std::optional<Launch> launch;
  std::function<void()> otherwise;
};

// Launches with their arguments at the time of the capture.
struct Graph {
  std::vector<Work> nodes;
};

int num_run = 0;   // kernels
int num_held = 0;  // objects

// Work is deferred until somebody waits for it, as on a device: a host buffer that is overwritten too early becomes
// visible.
struct Stream {
  std::deque<Work> work;
  std::unique_ptr<Graph> captured;  // while capturing
  bool is_invalidated = false;      // a call that cannot be captured was made

  void enqueue(Work next) {
    if (captured) {
      if (captured->nodes.empty() && next.launch) next.launch->may_begin_early = false;  // no launch precedes it
      captured->nodes.push_back(std::move(next));
    } else {
      work.push_back(std::move(next));
    }
  }

  Work take() {
    Work next = std::move(work.front());
    work.pop_front();
    return next;
  }

  void finish() {
    while (!work.empty()) finish_next();
  }
  // The next work, with the launches that may begin while it runs.
  void finish_next() {
    const Work next = take();
    if (!next.launch) return next.otherwise();
    std::vector<Launch> launches = {*next.launch};
    while (!work.empty() && work.front().launch && work.front().launch->may_begin_early)
      launches.push_back(*take().launch);
    num_run += int(launches.size());
    run(launches);
  }
};

// A point in a stream's work.
struct Event {
  Stream* stream = nullptr;               // stream of its last record; null: it was never recorded
  std::shared_ptr<bool> is_reached = {};  // for that record
};

namespace {

#if defined(__SANITIZE_ADDRESS__)
// nothing may lie after an allocation, so that reads past its end become visible, too
constexpr std::size_t kGuardBytes = 0;
#else
constexpr std::size_t kGuardBytes = 64;
#endif
constexpr unsigned char kGuard = 0xa5;
constexpr unsigned char kPoison = 0xff;
constexpr int kVersion = 13000;
constexpr int kMaxThreads = 1024;
constexpr std::size_t kDefaultDynamicShared = 48 * 1024, kMaxDynamicShared = 227 * 1024;

struct Planted {
  std::string function;  // empty: any
  cudaError_t error = cudaSuccess;
  int count = 0;
  bool is_sticky = false;
} planted;
cudaError_t stuck = cudaSuccess;  // a sticky error that has happened
cudaError_t last_error = cudaSuccess;

std::map<unsigned char*, std::size_t>& allocations() {
  static std::map<unsigned char*, std::size_t> all;
  return all;
}
std::set<Stream*>& streams() {
  static std::set<Stream*> all;
  return all;
}
std::map<const void*, std::size_t>& dynamic_shared_limits() {
  static std::map<const void*, std::size_t> all;
  return all;
}

cudaError_t result(const char* function, cudaError_t error = cudaSuccess) {
  if (stuck != cudaSuccess) return last_error = stuck;
  const bool is_meant = planted.function.empty() || planted.function == function;
  if (planted.count > 0 && is_meant && --planted.count == 0) {
    if (planted.is_sticky) stuck = planted.error;
    return last_error = planted.error;
  }
  if (error != cudaSuccess) last_error = error;
  return error;
}

// Refuses calls that wait for the device or allocate memory while a stream is captured.
cudaError_t result_unless_captured(const char* function, cudaError_t error = cudaSuccess) {
  bool is_captured = false;
  for (Stream* stream : streams())
    if (stream->captured) is_captured = stream->is_invalidated = true;
  return result(function, is_captured ? cudaErrorStreamCaptureUnsupported : error);
}

bool is_intact(const unsigned char* memory, std::size_t size_bytes) {
  const unsigned char* end = memory + size_bytes;
  return std::all_of(end, end + kGuardBytes, [](unsigned char byte) { return byte == kGuard; });
}

}  // namespace

void fail(const char* function, cudaError_t error, int count, bool is_sticky) {
  planted = {function ? function : "", error, count, is_sticky};
}

bool heal() {
  const bool was_met = planted.error != cudaSuccess && planted.count == 0;
  planted = {};
  stuck = last_error = cudaSuccess;
  return was_met;
}

int num_objects() { return num_held; }

int num_launches() { return num_run; }

std::size_t allocated_bytes() {
  std::size_t total = 0;
  for (const auto& [memory, size_bytes] : allocations()) {
    if (!is_intact(memory, size_bytes))
      throw Fault("a write went past the end of an allocation of " + std::to_string(size_bytes) + " bytes");
    total += size_bytes;
  }
  return total;
}

cudaError_t set_max_dynamic_shared(const void* kernel, int size_bytes) {
  if (std::size_t(size_bytes) > kMaxDynamicShared) return result("cudaFuncSetAttribute", cudaErrorInvalidValue);
  dynamic_shared_limits()[kernel] = std::size_t(size_bytes);
  return result("cudaFuncSetAttribute");
}

cudaError_t kernel_attributes(cudaFuncAttributes* attributes) {
  attributes->binaryVersion = settings().compute_major * 10 + settings().compute_minor;
  return result("cudaFuncGetAttributes", settings().has_kernels ? cudaSuccess : cudaErrorNoKernelImageForDevice);
}

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, std::function<void()> body) {
  const dim3 grid = config.gridDim, block = config.blockDim;
  const auto limit = dynamic_shared_limits().find(kernel);
  const std::size_t most_shared = limit == dynamic_shared_limits().end() ? kDefaultDynamicShared : limit->second;
  const bool is_valid = grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.y < 65536 && grid.z < 65536 &&
                        block.x * block.y * block.z > 0 && block.x * block.y * block.z <= kMaxThreads &&
                        config.dynamicSmemBytes <= most_shared;
  if (!is_valid) return result("cudaLaunchKernelEx", cudaErrorInvalidConfiguration);
  const bool may_begin_early = config.numAttrs == 1 && config.attrs->val.programmaticStreamSerializationAllowed;
  config.stream->enqueue({.launch = Launch{.grid = {grid.x, grid.y, grid.z},
                                           .block = {block.x, block.y, block.z},
                                           .dynamic_shared_bytes = config.dynamicSmemBytes,
                                           .body = std::move(body),
                                           .may_begin_early = may_begin_early},
                          .otherwise = nullptr});
  return result("cudaLaunchKernelEx");
}

}  // namespace emulator

using namespace emulator;

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver: return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
    case cudaErrorNoKernelImageForDevice: return "cudaErrorNoKernelImageForDevice";
    case cudaErrorIllegalAddress: return "cudaErrorIllegalAddress";
    case cudaErrorLaunchFailure: return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated: return "cudaErrorStreamCaptureInvalidated";
  }
  return "unknown";
}
const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = stuck;
  return error;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = settings().driver_version;
  return result("cudaDriverGetVersion");
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = kVersion;
  return result("cudaRuntimeGetVersion");
}
cudaError_t cudaGetDeviceCount(int* count) {
  const bool is_driven = settings().driver_version >= kVersion;
  *count = is_driven ? settings().num_devices : 0;
  return result("cudaGetDeviceCount", !is_driven   ? cudaErrorInsufficientDriver
                                      : *count > 0 ? cudaSuccess
                                                   : cudaErrorNoDevice);
}
cudaError_t cudaSetDevice(int device) {
  return result("cudaSetDevice", device < settings().num_devices ? cudaSuccess : cudaErrorInvalidDevice);
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "emulated device");
  properties->major = settings().compute_major;
  properties->minor = settings().compute_minor;
  properties->multiProcessorCount = settings().num_multiprocessors;
  properties->totalGlobalMem = settings().memory_bytes;
  properties->sharedMemPerBlockOptin = kMaxDynamicShared;
  return result("cudaGetDeviceProperties");
}
cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  *total_bytes = settings().memory_bytes;
  *free_bytes = settings().memory_bytes - std::min(allocated_bytes(), settings().memory_bytes);
  return result("cudaMemGetInfo");
}
cudaError_t cudaMalloc(void** memory, std::size_t size_bytes) {
  *memory = nullptr;
  std::size_t taken = 0;
  for (const auto& allocation : allocations()) taken += allocation.second;
  if (size_bytes > settings().memory_bytes - std::min(taken, settings().memory_bytes))
    return result("cudaMalloc", cudaErrorMemoryAllocation);
  if (const cudaError_t error = result_unless_captured("cudaMalloc"); error != cudaSuccess) return error;
  if (size_bytes == 0) return cudaSuccess;
  if (posix_memalign(memory, 256, size_bytes + kGuardBytes) != 0) return cudaErrorMemoryAllocation;
  std::memset(*memory, kPoison, size_bytes);
  std::memset(static_cast<unsigned char*>(*memory) + size_bytes, kGuard, kGuardBytes);
  allocations()[static_cast<unsigned char*>(*memory)] = size_bytes;
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  if (!memory) return result("cudaFree");
  const cudaError_t error = result_unless_captured("cudaFree");
  if (error == cudaErrorStreamCaptureUnsupported) return error;
  if (stuck == cudaSuccess)
    for (Stream* stream : streams()) stream->finish();
  const auto found = allocations().find(static_cast<unsigned char*>(memory));
  if (found == allocations().end()) throw Fault("memory was freed that was never allocated, or twice");
  if (!is_intact(found->first, found->second)) {
    std::fprintf(stderr, "a write went past the end of an allocation of %zu bytes\n", found->second);
    std::abort();  // most calls come from a destructor
  }
  allocations().erase(found);
  std::free(memory);
  return error;
}
cudaError_t cudaMallocHost(void** memory, std::size_t size_bytes) {
  *memory = nullptr;
  if (const cudaError_t error = result_unless_captured("cudaMallocHost"); error != cudaSuccess) return error;
  *memory = std::malloc(std::max<std::size_t>(size_bytes, 1));
  std::memset(*memory, kPoison, size_bytes);
  ++num_held;
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
  if (memory) --num_held;
  if (memory) std::memset(memory, kPoison, malloc_usable_size(memory));  // pending copies from it become visible
  std::free(memory);
  return result("cudaFreeHost");
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = nullptr;
  if (const cudaError_t error = result("cudaStreamCreateWithFlags"); error != cudaSuccess) return error;
  *stream = new Stream;
  ++num_held;
  streams().insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (stream && stuck == cudaSuccess) stream->finish();
  num_held -= int(streams().erase(stream));
  delete stream;
  return result("cudaStreamDestroy");
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (const cudaError_t error = result_unless_captured("cudaStreamSynchronize"); error != cudaSuccess) return error;
  stream->finish();
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = nullptr;
  if (const cudaError_t error = result("cudaEventCreateWithFlags"); error != cudaSuccess) return error;
  *event = new Event;
  ++num_held;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (event) --num_held;
  delete event;
  return result("cudaEventDestroy");
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (const cudaError_t error = result("cudaEventRecord"); error != cudaSuccess) return error;
  event->stream = stream;
  event->is_reached = std::make_shared<bool>(false);
  stream->enqueue({.launch = std::nullopt, .otherwise = [is_reached = event->is_reached] { *is_reached = true; }});
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (const cudaError_t error = result("cudaEventSynchronize"); error != cudaSuccess) return error;
  while (event->stream && !*event->is_reached) event->stream->finish_next();
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t size_bytes, cudaMemcpyKind, cudaStream_t stream) {
  if (const cudaError_t error = result("cudaMemcpyAsync"); error != cudaSuccess) return error;
  stream->enqueue({.launch = std::nullopt, .otherwise = [=] { std::memcpy(to, from, size_bytes); }});
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t size_bytes, cudaStream_t stream) {
  if (const cudaError_t error = result("cudaMemsetAsync"); error != cudaSuccess) return error;
  stream->enqueue({.launch = std::nullopt, .otherwise = [=] { std::memset(memory, value, size_bytes); }});
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (const cudaError_t error = result("cudaStreamBeginCapture"); error != cudaSuccess) return error;
  stream->captured = std::make_unique<Graph>();
  stream->is_invalidated = false;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  const std::unique_ptr<Graph> captured = std::move(stream->captured);
  if (stream->is_invalidated) return result("cudaStreamEndCapture", cudaErrorStreamCaptureInvalidated);
  if (const cudaError_t error = result("cudaStreamEndCapture"); error != cudaSuccess) return error;
  *graph = new Graph(std::move(*captured));
  ++num_held;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = nullptr;
  if (const cudaError_t error = result("cudaGraphInstantiate"); error != cudaSuccess) return error;
  *executable = new Graph(*graph);
  ++num_held;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  if (const cudaError_t error = result("cudaGraphLaunch"); error != cudaSuccess) return error;
  for (const Work& node : executable->nodes) stream->enqueue(node);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  if (graph) --num_held;
  delete graph;
  return result("cudaGraphDestroy");
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  if (executable) --num_held;
  delete executable;
  return result("cudaGraphExecDestroy");
}
