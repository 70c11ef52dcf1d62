#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

#include "backend/backend.h"

namespace grok::cuda {

// Memory of the device, aligned to 256 bytes. Contents undefined.
class DeviceMemory final : public Buffer {
 public:
  explicit DeviceMemory(std::size_t size_bytes);
  ~DeviceMemory() override { cudaFree(data_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  void* data() const override { return data_; }
  std::size_t size_bytes() const override { return size_bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t size_bytes_;
};

// Host memory for asynchronous copies from and to the device.
class PinnedMemory {
 public:
  ~PinnedMemory() { cudaFreeHost(data_); }
  PinnedMemory() = default;
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  // Returns at least size_bytes; the old contents are lost.
  std::byte* of(std::size_t size_bytes);

 private:
  std::byte* data_ = nullptr;
  std::size_t size_bytes_ = 0;
};

// Device memory for the current operation, reused by the next one, because an allocation waits for the device.
class DeviceScratch {
 public:
  // Returns one that allocates nothing and counts the bytes needed.
  static DeviceScratch counting();
  // Address of the next piece, if it fits.
  const void* data() const { return blocks_.empty() ? nullptr : blocks_.front()->data(); }

  // Starts over: later launches reuse all pieces handed out.
  void clear();
  // Starts over with size_bytes, from which pieces are handed out without an allocation.
  void reserve(std::size_t size_bytes);

  // [count], aligned to 256 bytes, contents undefined, valid until clear().
  template <typename T>
  T* of(std::size_t count) {
    return static_cast<T*>(bytes(count * sizeof(T)));
  }

  std::size_t used_bytes() const { return used_bytes_; }  // since clear(), if one block was enough

 private:
  static constexpr std::size_t kMinBlockBytes = 1 << 20;
  void* bytes(std::size_t size_bytes);

  std::vector<std::unique_ptr<DeviceMemory>> blocks_;
  std::size_t used_bytes_ = 0;  // of the last block
  bool is_counting_ = false;
};

}  // namespace grok::cuda
