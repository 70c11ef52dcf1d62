#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "backend/cpu/layout/host_memory.h"

namespace grok::cpu {

// Memory that an operation needs while it runs. It is reused by the next operation: fresh memory costs a page fault for
// every 4 KiB, in every layer of every step.
class Scratch {
 public:
  static constexpr std::size_t kAlignment = 64;  // a cache line
  static constexpr std::size_t kMinBlockBytes = 1 << 20;
  // Memory taken by a piece of `count` bytes.
  static constexpr std::size_t size_bytes(std::size_t count) {
    return (count + kAlignment - 1) / kAlignment * kAlignment;
  }

  // Reserves memory for the next pieces, up to `count` bytes in all, so that they need no system call.
  void reserve(std::size_t count) {
    blocks_.clear();
    add_block(std::max(count, kMinBlockBytes));
    used_bytes_ = 0;
  }

  // Starts over: all pieces handed out become free.
  void clear() {
    if (blocks_.size() > 1) {  // the pieces did not fit one block: make one that they fit
      std::size_t total = 0;
      for (const auto& block : blocks_) total += block->size_bytes();
      blocks_.clear();
      add_block(total);
    }
    used_bytes_ = 0;
  }

  // Contents undefined, aligned to a cache line, valid until clear().
  float* floats(std::size_t count) { return reinterpret_cast<float*>(bytes(count * sizeof(float))); }
  std::uint8_t* bytes(std::size_t count) {
    const std::size_t taken = size_bytes(count);
    if (blocks_.empty() || used_bytes_ + taken > blocks_.back()->size_bytes()) {
      add_block(std::max(taken, kMinBlockBytes));
      used_bytes_ = 0;
    }
    std::uint8_t* const start = blocks_.back()->as<std::uint8_t>() + used_bytes_;
    used_bytes_ += taken;
    return start;
  }

 private:
  void add_block(std::size_t size_bytes) { blocks_.push_back(std::make_unique<HostMemory>(size_bytes)); }

  std::vector<std::unique_ptr<HostMemory>> blocks_;
  std::size_t used_bytes_ = 0;  // of the last block
};

}  // namespace grok::cpu
