#pragma once

#include <cstddef>

#include "backend/cuda/device_memory.h"
#include "backend/cuda/stream.h"

namespace grok::cuda {

// Bytes of a file that are uploaded at once.
inline constexpr std::size_t kUploadBytes = std::size_t(16) << 20;

// Copies files to the device part by part: the next part is read here while earlier parts are copied and packed there.
// Host memory is bounded by the parts in flight. There is one stream: packing should take a fortieth of the copy over
// the bus, so a second stream would gain no more than that (computed, not measured).
class Upload {
 public:
  static constexpr int kParts = 3;  // one is read, one is copied, and one waits while their speeds differ

  explicit Upload(Stream& stream) : stream_(stream) {}
  ~Upload();
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;

  // Host memory for the next part; blocks until the device has copied the data that it held before.
  std::byte* next(std::size_t size_bytes);
  // Copies the last next() to the device. Later work of the stream finds it there.
  void send(void* device, std::size_t size_bytes);

 private:
  struct Part {
    PinnedMemory memory;
    std::byte* bytes = nullptr;
    Event copied;
  };

  Stream& stream_;
  Part parts_[kParts];
  int current_ = 0;
};

}  // namespace grok::cuda
