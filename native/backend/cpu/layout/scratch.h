#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "backend/cpu/layout/host_memory.h"

namespace grok::cpu {

// Memory that an operation needs while it runs. It is kept for the next one: fresh memory costs a page fault for every
// 4 KiB of it, in every layer of every step.
class Scratch {
 public:
  static constexpr std::size_t kAlignment = 64;  // a cache line
  static constexpr std::size_t kMinBlockBytes = 1 << 20;
  // Of the memory, what a piece of so many bytes takes.
  static constexpr std::size_t size_bytes(std::size_t count) {
    return (count + kAlignment - 1) / kAlignment * kAlignment;
  }

  // Makes the next pieces of up to so many bytes in all fit without asking the system.
  void reserve(std::size_t count) {
    blocks_.clear();
    add_block(std::max(count, kMinBlockBytes));
    used_bytes_ = 0;
  }

  // Starts over; what was handed out is up for reuse.
  void clear() {
    if (blocks_.size() > 1) {  // it did not fit the one block: make one that it fits
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
