#include "backend/cuda/device_memory.h"

#include "backend/cuda/cuda_error.h"

namespace grok::cuda {

DeviceMemory::DeviceMemory(std::size_t size_bytes) : size_bytes_(size_bytes) {
  if (size_bytes == 0) return;
  const cudaError_t error = cudaMalloc(&data_, size_bytes);
  if (error == cudaSuccess) return;
  cudaGetLastError();  // clears the error, which is reported here
  if (error != cudaErrorMemoryAllocation) throw device_failed(concat("an allocation of ", size_bytes, " bytes"), error);
  std::size_t free_bytes = 0, total_bytes = 0;
  cudaMemGetInfo(&free_bytes, &total_bytes);
  throw Error(ErrorCode::out_of_memory,
              concat("the CUDA device refused ", size_bytes, " bytes of memory: ", free_bytes, " of ", total_bytes,
                     " are free"),
              "Close other programs on the device, or use a shorter context.");
}

std::byte* PinnedMemory::of(std::size_t size_bytes) {
  if (size_bytes <= size_bytes_) return data_;
  cudaFreeHost(data_);
  data_ = nullptr;
  size_bytes_ = 0;
  void* data = nullptr;
  if (const cudaError_t error = cudaMallocHost(&data, size_bytes); error != cudaSuccess) {
    cudaGetLastError();
    if (error != cudaErrorMemoryAllocation)
      throw device_failed(concat("an allocation of ", size_bytes, " bytes of pinned memory"), error);
    throw Error(ErrorCode::out_of_memory, concat("the system refused ", size_bytes, " bytes of pinned memory"),
                "Close other programs, or give the process more memory: pinned memory is never swapped out.");
  }
  data_ = static_cast<std::byte*>(data);
  size_bytes_ = size_bytes;
  return data_;
}

DeviceScratch DeviceScratch::counting() {
  DeviceScratch scratch;
  scratch.is_counting_ = true;
  return scratch;
}

void DeviceScratch::reserve(std::size_t size_bytes) {
  blocks_.clear();  // frees first, because both may not fit
  blocks_.push_back(std::make_unique<DeviceMemory>(size_bytes));
  used_bytes_ = 0;
}

void DeviceScratch::clear() {
  if (blocks_.size() > 1) {  // the pieces did not fit one block: make one that they fit
    std::size_t total = 0;
    for (const auto& block : blocks_) total += block->size_bytes();
    blocks_.clear();
    blocks_.push_back(std::make_unique<DeviceMemory>(total));
  }
  used_bytes_ = 0;
}

void* DeviceScratch::bytes(std::size_t size_bytes) {
  constexpr std::size_t kAlignment = 256;
  size_bytes = (size_bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (is_counting_) {
    used_bytes_ += size_bytes;
    return nullptr;
  }
  if (blocks_.empty() || used_bytes_ + size_bytes > blocks_.back()->size_bytes()) {
    blocks_.push_back(std::make_unique<DeviceMemory>(std::max(size_bytes, kMinBlockBytes)));
    used_bytes_ = 0;
  }
  std::byte* const start = blocks_.back()->as<std::byte>() + used_bytes_;
  used_bytes_ += size_bytes;
  return start;
}

}  // namespace grok::cuda
