#pragma once

#include <malloc.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

// Counts what operator new hands out. It replaces the program's operator new: include it in one file of a program.
namespace grok::testing {

inline std::atomic<std::size_t> allocated_bytes{0};
inline std::atomic<std::size_t> peak_bytes{0};

// Bytes that were allocated at once, at the worst moment since it was made.
class AllocationPeak {
 public:
  AllocationPeak() : start_(allocated_bytes) { peak_bytes = start_; }
  std::size_t bytes() const { return peak_bytes - start_; }

 private:
  std::size_t start_;
};

inline void* count_allocation(std::size_t size) {
  void* const memory = std::malloc(size);
  if (!memory) throw std::bad_alloc();
  const std::size_t now = allocated_bytes += malloc_usable_size(memory);
  std::size_t peak = peak_bytes;
  while (now > peak && !peak_bytes.compare_exchange_weak(peak, now)) {
  }
  return memory;
}

inline void count_release(void* memory) {
  if (!memory) return;
  allocated_bytes -= malloc_usable_size(memory);
  std::free(memory);
}

}  // namespace grok::testing

void* operator new(std::size_t size) { return grok::testing::count_allocation(size); }
void* operator new[](std::size_t size) { return grok::testing::count_allocation(size); }
void operator delete(void* memory) noexcept { grok::testing::count_release(memory); }
void operator delete[](void* memory) noexcept { grok::testing::count_release(memory); }
void operator delete(void* memory, std::size_t) noexcept { grok::testing::count_release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { grok::testing::count_release(memory); }
