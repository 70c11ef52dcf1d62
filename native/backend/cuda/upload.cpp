#include "backend/cuda/upload.h"

namespace grok::cuda {

// Loading may be interrupted: buffers must outlive their copies.
Upload::~Upload() {
  try {
    for (const Part& part : parts_) stream_.wait_for(part.copied);
  } catch (const Error&) {  // a device that failed copies nothing
  }
}

std::byte* Upload::next(std::size_t size_bytes) {
  current_ = (current_ + 1) % kParts;
  Part& part = parts_[current_];
  stream_.wait_for(part.copied);
  part.bytes = part.memory.of(size_bytes);
  return part.bytes;
}

void Upload::send(void* device, std::size_t size_bytes) {
  Part& part = parts_[current_];
  stream_.copy_to_device(device, part.bytes, size_bytes);
  stream_.record(part.copied);
}

}  // namespace grok::cuda
