#include "emulator/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Switching in assembly takes a dozen instructions. ucontext takes two system calls, and is used on other processors.
#if defined(__x86_64__)
asm(R"(
.text
.p2align 4
.type grok_emulator_switch, @function
grok_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size grok_emulator_switch, .-grok_emulator_switch
)");
extern "C" void grok_emulator_switch(void** saved_stack, void* next_stack);
#endif

namespace emulator {

Fiber Fiber::caller_{Caller()};
Fiber* Fiber::running_ = nullptr;

void Fiber::begin() {
  running_->arrive();
  running_->entry_();
}

// Runs after a switch, on the new stack.
void Fiber::arrive() {
#if defined(__SANITIZE_ADDRESS__)
  if (caller_.stack_)
    __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
  else  // it is what was left
    __sanitizer_finish_switch_fiber(fake_stack_, &caller_.stack_, &caller_.size_bytes_);
#endif
}

// Leaves the running fiber, until it is entered again.
void Fiber::enter() {
  Fiber& left = *running_;
  running_ = this;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&left.fake_stack_, stack_, size_bytes_);
#endif
#if defined(__x86_64__)
  grok_emulator_switch(&left.pointer_, pointer_);
#else
  swapcontext(&left.registers_, &registers_);
#endif
  left.arrive();
}

Fiber::Fiber() : size_bytes_(kStackBytes) {
  // If all stacks began at the same offset of a page, they would compete for the same few cache lines.
  static std::size_t num_fibers = 0;
  top_ = kStackBytes - num_fibers++ % 61 * 256;
  stack_ = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stack_ == MAP_FAILED) throw std::bad_alloc();
}

Fiber::~Fiber() {
  if (this != &caller_) munmap(const_cast<void*>(stack_), kStackBytes);
}

void Fiber::start(void (*entry)()) {
  entry_ = entry;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack_, kStackBytes);  // an abandoned fiber left its frames there
  fake_stack_ = nullptr;
#endif
#if defined(__x86_64__)
  auto** top = reinterpret_cast<void**>(static_cast<char*>(const_cast<void*>(stack_)) + top_);
  *--top = nullptr;  // the return address of begin()
  *--top = reinterpret_cast<void*>(&begin);
  for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
  pointer_ = top;
#else
  getcontext(&registers_);
  registers_.uc_stack.ss_sp = const_cast<void*>(stack_);
  registers_.uc_stack.ss_size = top_;
  registers_.uc_link = nullptr;
  makecontext(&registers_, &begin, 0);
#endif
}

void Fiber::resume() {
  running_ = &caller_;
  caller_.stack_ = nullptr;  // of the last caller, which may have been another thread
  enter();
}

void Fiber::leave() { caller_.enter(); }

}  // namespace emulator
