#include "backend/cuda/cuda_backend.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace grok {
namespace {

// Every kernel here runs on this and on what came after it.
constexpr int kMinComputeMajor = 8;

std::string version_text(int version) { return concat(version / 1000, ".", version % 1000 / 10); }

// Empty: the device is as `traits` says.
std::string why_not(DeviceTraits& traits) {
  int driver = 0, runtime = 0, num_devices = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
  cudaRuntimeGetVersion(&runtime);
  cudaGetLastError();
  if (driver == 0) return "no NVIDIA driver is installed";
  const cudaError_t counted = cudaGetDeviceCount(&num_devices);
  cudaGetLastError();
  if (counted == cudaErrorInsufficientDriver)
    return concat("the NVIDIA driver is too old: it knows CUDA ", version_text(driver), ", this build needs ",
                  version_text(runtime));
  if (counted == cudaErrorNoDevice || (counted == cudaSuccess && num_devices == 0))
    return "the NVIDIA driver sees no device";
  if (counted != cudaSuccess)
    return concat("the NVIDIA driver answers ", cudaGetErrorName(counted), " (", cudaGetErrorString(counted), ")");

  cudaDeviceProp properties;
  const cudaError_t asked = cudaGetDeviceProperties(&properties, 0);
  cudaGetLastError();
  if (asked != cudaSuccess)
    return concat("the CUDA device answers ", cudaGetErrorName(asked), " (", cudaGetErrorString(asked), ")");
  traits = {.name = properties.name,
            .compute_major = properties.major,
            .compute_minor = properties.minor,
            .num_multiprocessors = properties.multiProcessorCount};
  const std::string capability = concat(properties.major, ".", properties.minor);
  if (properties.major < kMinComputeMajor)
    return concat(properties.name, " has compute capability ", capability, ", and 8.0 or above is needed");
  if (const cudaError_t error = find_kernels(); error != cudaSuccess)
    return error == cudaErrorNoKernelImageForDevice
               ? concat("this build has no kernels for ", properties.name, " (compute capability ", capability, ")")
               : concat(properties.name, " answers ", cudaGetErrorName(error), " (", cudaGetErrorString(error), ")");
  return "";
}

}  // namespace

std::string why_no_cuda_device() {
  DeviceTraits traits;
  return why_not(traits);
}

std::uint64_t cuda_available_bytes() {
  std::size_t free_bytes = 0, total_bytes = 0;
  if (cudaMemGetInfo(&free_bytes, &total_bytes) != cudaSuccess) cudaGetLastError();
  return free_bytes;
}

std::unique_ptr<Footprint> make_cuda_footprint(const CudaOptions& options) {
  if (options.num_digits != 2 && options.num_digits != 3)
    throw Error(ErrorCode::invalid_argument, concat("expected num_digits to be 2 or 3, found ", options.num_digits));
  return std::make_unique<CudaFootprint>(options.num_digits);
}

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options) {
  make_cuda_footprint(options);  // throws
  DeviceTraits traits;
  if (const std::string reason = why_not(traits); !reason.empty())
    throw Error(ErrorCode::cuda_unavailable, reason, "Use device \"cpu\" or \"auto\".");
  return std::make_unique<CudaBackend>(options, std::move(traits));
}

std::string CudaBackend::description() const {
  return concat("cuda (", traits_.name, ", compute capability ", traits_.compute_major, ".", traits_.compute_minor,
                ", ", options_.num_digits, " digits)");
}

BufferPtr CudaBackend::allocate(std::size_t size_bytes) {
  stream_.throw_if_failed();
  return std::make_unique<DeviceMemory>(size_bytes);
}

std::unique_ptr<DeviceMemory> CudaBackend::upload(const TensorView& view) {
  stream_.throw_if_failed();
  const std::size_t size_bytes = view.size_bytes();
  auto memory = std::make_unique<DeviceMemory>(size_bytes);
  for (std::size_t start = 0; start < size_bytes; start += kUploadBytes) {
    const std::size_t part_bytes = std::min(kUploadBytes, size_bytes - start);
    view.read(start, {upload_.next(part_bytes), part_bytes});
    upload_.send(memory->as<std::byte>() + start, part_bytes);
  }
  return memory;
}

BufferPtr CudaBackend::load_vector(const TensorView& f32) { return upload(f32); }

TablePtr CudaBackend::load_table(const TensorView& f32) {
  return std::make_unique<CudaTable>(int(f32.shape[0]), int(f32.shape[1]), upload(f32));
}

MatrixPtr CudaBackend::load_matrix(const QuantizedView& stored) {
  stream_.throw_if_failed();
  return std::make_unique<CudaMatrix>(stored, upload_, scratch_, stream_);
}

void CudaBackend::reserve_scratch(const StepSize& largest) {
  stream_.synchronize();
  scratch_.reserve(footprint_.operation_bytes(largest));
  batch_ = std::make_unique<DeviceMemory>(CudaFootprint::batch_bytes(largest));
  most_positions_ = largest.num_positions;
  rotation_.clear();
  device_rotation_ =
      std::make_unique<DeviceMemory>(CudaFootprint::rotation_bytes(largest.num_positions, largest.head_dim));
}

// All arrays in one transfer.
Batch CudaBackend::stage(const Batch& host) {
  stream_.synchronize();  // the last batch's copy and its readers are done
  const std::size_t sizes[] = {std::size_t(host.num_tokens), std::size_t(host.num_tokens), std::size_t(host.num_tokens),
                               std::size_t(host.num_sequences) * std::size_t(host.max_pages),
                               std::size_t(host.num_outputs)};
  const std::int32_t* const from[] = {host.tokens, host.positions, host.sequences, host.page_tables, host.output_rows};
  std::size_t total = 0;
  for (const std::size_t size : sizes) total += size;
  const std::size_t size_bytes = total * sizeof(std::int32_t);
  if (!batch_ || batch_->size_bytes() < size_bytes) batch_ = std::make_unique<DeviceMemory>(size_bytes);

  auto* const pinned = reinterpret_cast<std::int32_t*>(pinned_batch_.of(size_bytes));
  const std::int32_t* staged[5];
  std::size_t start = 0;
  for (int array = 0; array < 5; ++array) {
    if (sizes[array] > 0) std::memcpy(pinned + start, from[array], sizes[array] * sizeof(std::int32_t));
    staged[array] = batch_->as<std::int32_t>() + start;
    start += sizes[array];
  }
  stream_.copy_to_device(batch_->data(), pinned, size_bytes);

  num_positions_ = 0;
  for (int token = 0; token < host.num_tokens; ++token)
    num_positions_ = std::max(num_positions_, host.positions[token] + 1);
  Batch batch = host;
  batch.tokens = staged[0];
  batch.positions = staged[1];
  batch.sequences = staged[2];
  batch.page_tables = staged[3];
  batch.output_rows = staged[4];
  return batch;
}

void CudaBackend::read_bytes(void* host, const void* from, std::size_t size_bytes) {
  if (size_bytes == 0) return;
  std::byte* const pinned = pinned_.of(size_bytes);
  stream_.copy_to_host(pinned, from, size_bytes);
  stream_.synchronize();
  std::memcpy(host, pinned, size_bytes);
}

void CudaBackend::read(std::span<float> host, const float* from) { read_bytes(host.data(), from, host.size_bytes()); }

void CudaBackend::read(std::span<std::int32_t> host, const std::int32_t* from) {
  read_bytes(host.data(), from, host.size_bytes());
}

}  // namespace grok
