#include "platform/mapping.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <mutex>

#include "core/error.h"
#include "platform/linux/file_error.h"

namespace grok::platform {
namespace {

// The copy that a thread currently makes from a mapping.
struct GuardedCopy {
  sigjmp_buf on_fault;
  const std::byte* begin;
  const std::byte* end;
};

// The current copies, one for each thread. They are not thread-local: the handler must reach them without an
// allocation. Static thread-local storage would allow that, but is too scarce: the CUDA runtime needs 4 KiB of it, and
// the addon would not load.
struct CopySlot {
  std::atomic<std::uintptr_t> owner{0};  // thread of the slot; 0: free
  // used by the owner alone. Volatile, because the handler reads it during a memcpy
  GuardedCopy* volatile copy = nullptr;
};
CopySlot copy_slots[256];  // number of threads that can copy at once; more threads wait

std::uintptr_t this_thread() { return std::uintptr_t(pthread_self()); }

CopySlot& take_slot() {
  const std::uintptr_t self = this_thread();
  for (std::size_t index = self / 4096;; ++index) {
    CopySlot& slot = copy_slots[index % std::size(copy_slots)];
    std::uintptr_t free = 0;
    if (slot.owner.compare_exchange_strong(free, self)) return slot;
  }
}

// Null: this thread is not copying.
GuardedCopy* copy_of_this_thread() {
  const std::uintptr_t self = this_thread();
  for (const CopySlot& slot : copy_slots)
    if (slot.owner == self) return slot.copy;
  return nullptr;
}

struct sigaction previous_action;

void pass_on(int signal, siginfo_t* info, void* context) {
  if (previous_action.sa_flags & SA_SIGINFO) {
    previous_action.sa_sigaction(signal, info, context);
  } else if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
    previous_action.sa_handler(signal);
  } else if (previous_action.sa_handler == SIG_DFL || info->si_code > 0) {
    // Restores the default. A fault occurs again on return; a signal that was sent does not, so it is sent again.
    std::signal(signal, SIG_DFL);
    if (info->si_code <= 0) std::raise(signal);
  }
}

void on_sigbus(int signal, siginfo_t* info, void* context) {
  GuardedCopy* const copy = copy_of_this_thread();
  const auto* address = static_cast<const std::byte*>(info->si_addr);
  const bool is_fault = info->si_code > 0;  // otherwise a process sent it
  if (copy && is_fault && address >= copy->begin && address < copy->end) siglongjmp(copy->on_fault, 1);
  pass_on(signal, info, context);
}

// Called at each opening, because process.on('SIGBUS') replaces the handler and process.off('SIGBUS') resets it. The
// handler that was installed before receives all other signals.
void guard_against_faults() {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  struct sigaction present;
  sigaction(SIGBUS, nullptr, &present);
  if ((present.sa_flags & SA_SIGINFO) && present.sa_sigaction == on_sigbus) return;
  previous_action = present;
  struct sigaction action = {};
  action.sa_sigaction = on_sigbus;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, nullptr);
}

// Copies all rows under one guard, because setting it up is a system call. Returns false if the bytes are gone. The
// jump skips destructors, so no object in this frame may have one. Variables set before the jump must not live in
// registers, so this is a function of its own.
[[gnu::noinline]] bool copy_in_slot(CopySlot& slot, std::byte* to, const std::byte* from, std::uint64_t stride,
                                    std::size_t row_bytes, std::size_t num_rows) {
  GuardedCopy copy;
  copy.begin = from;
  copy.end = from + (num_rows - 1) * stride + row_bytes;
  // 1: the jump also restores the signal mask; otherwise SIGBUS would stay blocked, and the next one would end the
  // process.
  if (sigsetjmp(copy.on_fault, 1) != 0) return false;
  slot.copy = &copy;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  for (std::size_t row = 0; row < num_rows; ++row) std::memcpy(to + row * row_bytes, from + row * stride, row_bytes);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  slot.copy = nullptr;
  return true;
}

bool copy_guarded(std::byte* to, const std::byte* from, std::uint64_t stride, std::size_t row_bytes,
                  std::size_t num_rows) {
  CopySlot& slot = take_slot();
  const bool is_whole = copy_in_slot(slot, to, from, stride, row_bytes, num_rows);
  slot.copy = nullptr;
  slot.owner = 0;
  return is_whole;
}

std::byte* begin_of(std::intptr_t handle) { return reinterpret_cast<std::byte*>(handle); }

}  // namespace

Mapping::Mapping(const InputFile& file) : size_bytes_(file.size_bytes()) {
  guard_against_faults();
  void* const mapped = ::mmap(nullptr, size_bytes_, PROT_READ, MAP_PRIVATE, int(file.handle()), 0);
  if (mapped == MAP_FAILED) throw file_error(file.path(), concat(size_bytes_, " bytes cannot be mapped"), errno);
  handle_ = reinterpret_cast<std::intptr_t>(mapped);
}

Mapping::~Mapping() { ::munmap(begin_of(handle_), size_bytes_); }

bool Mapping::copy(std::byte* to, std::uint64_t offset, std::uint64_t stride, std::size_t row_bytes,
                   std::size_t num_rows) const {
  return copy_guarded(to, begin_of(handle_) + offset, stride, row_bytes, num_rows);
}

void Mapping::fetch(std::uint64_t offset, std::uint64_t size_bytes) const {
  if (offset >= size_bytes_) return;
  const auto page = std::uint64_t(::sysconf(_SC_PAGESIZE));
  const std::uint64_t first = offset / page * page, last = offset + std::min(size_bytes, size_bytes_ - offset);
  ::madvise(begin_of(handle_) + first, last - first, MADV_WILLNEED);
}

void Mapping::drop(std::uint64_t offset, std::uint64_t size_bytes) const {
  if (offset >= size_bytes_) return;
  // Only whole pages: partial pages at the ends may hold bytes that are still needed.
  const auto page = std::uint64_t(::sysconf(_SC_PAGESIZE));
  const std::uint64_t first = (offset + page - 1) / page * page;
  const std::uint64_t end = offset + std::min(size_bytes, size_bytes_ - offset);
  const std::uint64_t last = end == size_bytes_ ? end : end / page * page;
  if (first < last) ::madvise(begin_of(handle_) + first, last - first, MADV_DONTNEED);
}

}  // namespace grok::platform
