#pragma once

#include <cstddef>

#include "backend/cuda/device_memory.h"
#include "backend/cuda/stream.h"

namespace grok::cuda {

// Bytes of a file that go to the device at once.
inline constexpr std::size_t kUploadBytes = std::size_t(16) << 20;

// From files to the device, part by part: while parts are copied and packed there, the next one is read here. Host memory
// is bounded by the parts on their way. One stream: packing a part, at the device's memory, should take a fortieth of
// copying it over the bus, and a second stream could gain no more. Reckoned, not measured.
class Upload {
 public:
  static constexpr int kParts = 3;  // one is read, one copied, and one waits where the two are not equally fast

  explicit Upload(Stream& stream) : stream_(stream) {}
  ~Upload();
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;

  // Host memory for the next part; blocks until the device has copied what was sent from there last.
  std::byte* next(std::size_t size_bytes);
  // Has the device copy the last next(). What the stream is asked for after this finds it there.
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
