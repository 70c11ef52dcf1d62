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

// Host memory that the device copies from and to by itself.
class PinnedMemory {
 public:
  ~PinnedMemory() { cudaFreeHost(data_); }
  PinnedMemory() = default;
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  // At least so many bytes; what was there is lost.
  std::byte* of(std::size_t size_bytes);

 private:
  std::byte* data_ = nullptr;
  std::size_t size_bytes_ = 0;
};

// Device memory that an operation needs while it runs, kept for the next one: an allocation waits for the device.
class DeviceScratch {
 public:
  // One that hands out nothing and says what would have been needed.
  static DeviceScratch counting();
  // Where what is handed out next lies, if it fits.
  const void* data() const { return blocks_.empty() ? nullptr : blocks_.front()->data(); }

  // Starts over; what was handed out is up for reuse by what is launched from now on.
  void clear();
  // Starts over with so many bytes, which are then handed out without asking the device.
  void reserve(std::size_t size_bytes);

  // [count], aligned to 256 bytes, contents undefined, valid until clear().
  template <typename T>
  T* of(std::size_t count) {
    return static_cast<T*>(bytes(count * sizeof(T)));
  }

  std::size_t used_bytes() const { return used_bytes_; }  // since clear(), where one block was enough

 private:
  static constexpr std::size_t kMinBlockBytes = 1 << 20;
  void* bytes(std::size_t size_bytes);

  std::vector<std::unique_ptr<DeviceMemory>> blocks_;
  std::size_t used_bytes_ = 0;  // of the last block
  bool is_counting_ = false;
};

}  // namespace grok::cuda
