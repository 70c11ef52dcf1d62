#include "backend/cuda/cuda_backend.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "backend/cuda/cuda_error.h"
#include "backend/cuda/packed_table.h"

namespace grok::cuda {
namespace {

// Every kernel here runs on this compute capability and on all later ones.
constexpr int kMinComputeMajor = 8;

std::string version_text(int version) { return concat(version / 1000, ".", version % 1000 / 10); }

// Why a device cannot be used, and the remedy. Empty if it can.
struct Obstacle {
  std::string reason, remedy;
};

constexpr const char* kRestart = "Restart the process; nvidia-smi shows the state of the device.";

// Checks everything except for kernels in this build. If the result is empty, `traits` describes the device.
Obstacle driver_obstacle(DeviceTraits& traits) {
  int driver = 0, runtime = 0, num_devices = 0;
  const cudaError_t found = cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  cudaGetLastError();
  if (found != cudaSuccess) return {concat("the NVIDIA driver reports ", in_words(found)), kRestart};
  if (driver == 0) return {"no NVIDIA driver is installed", "Install NVIDIA's driver."};
  const cudaError_t counted = cudaGetDeviceCount(&num_devices);
  cudaGetLastError();
  if (counted == cudaErrorInsufficientDriver)
    return {concat("the NVIDIA driver is too old: it knows CUDA ", version_text(driver), ", this build needs ",
                   version_text(runtime)),
            concat("Install a driver for CUDA ", version_text(runtime), " or later.")};
  if (counted == cudaErrorNoDevice || (counted == cudaSuccess && num_devices == 0))
    return {"the NVIDIA driver sees no device",
            "Check that nvidia-smi lists the device, that CUDA_VISIBLE_DEVICES does not hide it, and that the "
            "container has access to it."};
  if (counted != cudaSuccess) return {concat("the NVIDIA driver reports ", in_words(counted)), kRestart};

  cudaDeviceProp properties;
  const cudaError_t error = cudaGetDeviceProperties(&properties, 0);
  cudaGetLastError();
  if (error != cudaSuccess) return {concat("the CUDA device reports ", in_words(error)), kRestart};
  traits = {.name = properties.name,
            .compute_major = properties.major,
            .compute_minor = properties.minor,
            .num_multiprocessors = properties.multiProcessorCount};
  if (properties.major < kMinComputeMajor)
    return {concat(properties.name, " has compute capability ", properties.major, ".", properties.minor,
                   ", and 8.0 or above is needed"),
            "Choose another device with CUDA_VISIBLE_DEVICES."};
  return {};
}

Obstacle device_obstacle(DeviceTraits& traits) {
  if (Obstacle obstacle = driver_obstacle(traits); !obstacle.reason.empty()) return obstacle;
  const cudaError_t error = find_kernels();
  if (error == cudaSuccess) return {};
  if (error == cudaErrorNoKernelImageForDevice)
    return {concat("this build has no kernels for ", traits.name, " (compute capability ", traits.compute_major, ".",
                   traits.compute_minor, ")"),
            concat("Configure with -DGROK_CUDA_ARCHS=", traits.compute_major, traits.compute_minor, " and build.")};
  return {concat(traits.name, " reports ", in_words(error)), kRestart};
}

}  // namespace

std::string why_no_device() {
  DeviceTraits traits;
  return device_obstacle(traits).reason;
}

std::uint64_t available_bytes() {
  std::size_t free_bytes = 0, total_bytes = 0;
  if (const cudaError_t error = cudaMemGetInfo(&free_bytes, &total_bytes); error != cudaSuccess) {
    cudaGetLastError();
    throw device_failed("querying free memory", error);
  }
  return free_bytes;
}

std::unique_ptr<Footprint> make_footprint(const Options& options) {
  if (options.num_limbs != 2 && options.num_limbs != 3)
    throw Error(ErrorCode::invalid_argument, concat("expected num_limbs to be 2 or 3, found ", options.num_limbs));
  return std::make_unique<CudaFootprint>(options.num_limbs);
}

DeviceTraits usable_device() {
  DeviceTraits traits;
  if (const Obstacle obstacle = device_obstacle(traits); !obstacle.reason.empty())
    throw Error(ErrorCode::cuda_unavailable, obstacle.reason, obstacle.remedy + " Or use device \"cpu\".");
  return traits;
}

std::unique_ptr<Backend> make_backend(const Options& options) {
  make_footprint(options);  // throws
  return std::make_unique<CudaBackend>(options, usable_device());
}

std::string CudaBackend::description() const {
  return concat("cuda (", traits_.name, ", compute capability ", traits_.compute_major, ".", traits_.compute_minor,
                ", ", options_.num_limbs, " limbs)");
}

BufferPtr CudaBackend::allocate(std::size_t size_bytes) {
  stream_.throw_if_failed();
  graphs_.forget();
  return std::make_unique<DeviceMemory>(size_bytes);
}

QuantizedRowsPtr CudaBackend::allocate_quantized(const QuantizedShape& shape) {
  stream_.throw_if_failed();
  graphs_.forget();
  return std::make_unique<CudaQuantizedRows>(shape, options_.num_limbs);
}

BufferPtr CudaBackend::load_vector(const TensorView& f32) {
  stream_.throw_if_failed();
  graphs_.forget();
  const std::size_t size_bytes = f32.size_bytes();
  auto memory = std::make_unique<DeviceMemory>(size_bytes);
  for (std::size_t start = 0; start < size_bytes; start += kUploadBytes) {
    const std::size_t part_bytes = std::min(kUploadBytes, size_bytes - start);
    f32.read(start, {upload_.next(part_bytes), part_bytes});
    upload_.send(memory->as<std::byte>() + start, part_bytes);
  }
  return memory;
}

TablePtr CudaBackend::load_table(const TensorView& f32) {
  stream_.throw_if_failed();
  graphs_.forget();
  return std::make_unique<CudaTable>(f32, options_.num_limbs, upload_, scratch_, stream_);
}

MatrixPtr CudaBackend::load_matrix(const Linear& stored) {
  stream_.throw_if_failed();
  graphs_.forget();
  return std::make_unique<CudaMatrix>(stored, upload_, scratch_, stream_);
}

void CudaBackend::reserve_scratch(const StepSize& largest) {
  stream_.synchronize();
  graphs_.forget();
  scratch_.reserve(footprint_.operation_bytes(largest));
  batch_ = std::make_unique<DeviceMemory>(CudaFootprint::batch_bytes(largest));
  most_positions_ = largest.num_positions;
  rotation_.clear();
  device_rotation_ =
      std::make_unique<DeviceMemory>(CudaFootprint::rotation_bytes(largest.num_positions, largest.head_dim));
}

// Copies all arrays in one transfer. Sizes that change launches are rounded up, and arrays whose sizes do not change
// launches lie last, so that the next steps of the same sequences have the same launches.
Batch CudaBackend::stage(const Batch& host) {
  constexpr std::size_t kFewestBytes = 64 * 1024;  // page tables of a few long sequences
  stream_.synchronize();                           // the last batch has been copied and used
  // Rounds up to a power of two, but not beyond the reserved memory.
  const auto rounded_up = [](int count, int fewest, int most) {
    const int rounded = std::max(int(std::bit_ceil(unsigned(count))), fewest);
    return most == 0 ? rounded : std::max(count, std::min(rounded, most));
  };
  constexpr int kFewestPages = 4;
  const int max_pages = rounded_up(host.max_pages, kFewestPages, (most_positions_ + kPageSize - 1) / kPageSize);
  const std::size_t num_tokens = host.num_tokens, num_outputs = host.num_outputs;
  const std::size_t size_bytes =
      (3 * num_tokens + num_outputs + std::size_t(host.num_sequences) * max_pages) * sizeof(std::int32_t);
  if (!batch_ || batch_->size_bytes() < size_bytes)
    batch_ = std::make_unique<DeviceMemory>(std::max(std::bit_ceil(size_bytes), kFewestBytes));

  auto* const pinned = reinterpret_cast<std::int32_t*>(pinned_batch_.of(size_bytes));
  std::int32_t* end = pinned;
  const auto add = [&](const std::int32_t* from, std::size_t size) {
    const std::int32_t* const staged = batch_->as<std::int32_t>() + (end - pinned);
    if (size > 0) std::memcpy(end, from, size * sizeof(std::int32_t));
    end += size;
    return staged;
  };
  Batch batch = host;
  batch.tokens = add(host.tokens, num_tokens);
  batch.positions = add(host.positions, num_tokens);
  batch.sequences = add(host.sequences, num_tokens);
  batch.output_rows = add(host.output_rows, num_outputs);
  batch.page_tables = batch_->as<std::int32_t>() + (end - pinned);
  batch.max_pages = max_pages;
  for (int sequence = 0; sequence < host.num_sequences; ++sequence) {
    add(host.page_tables + std::size_t(sequence) * host.max_pages, std::size_t(host.max_pages));
    end = std::fill_n(end, max_pages - host.max_pages, 0);
  }
  stream_.copy_to_device(batch_->data(), pinned, size_bytes);

  int num_positions = 0;
  for (int token = 0; token < host.num_tokens; ++token)
    num_positions = std::max(num_positions, host.positions[token] + 1);
  shape_ = {.num_tokens = host.num_tokens,
            .num_outputs = host.num_outputs,
            .max_pages = max_pages,
            .num_positions = rounded_up(num_positions, kFewestPages * kPageSize, most_positions_)};
  return batch;
}

void CudaBackend::step(const std::function<void()>& body) {
  scratch_.clear();  // one block from here on, if a step of this size came before
  const StepMemory memory{.batch = batch_ ? batch_->data() : nullptr,
                          .scratch = scratch_.data(),
                          .rotation = device_rotation_ ? device_rotation_->data() : nullptr};
  graphs_.run(shape_, memory, shape_.num_tokens <= kTokensAtOnce, stream_, body);
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

}  // namespace grok::cuda
