#include "emulator/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

// Switching by hand costs a dozen instructions; ucontext's costs two system calls and serves other processors.
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

struct Fiber::Context {
  void* stack = nullptr;
  std::size_t top = 0;  // bytes of the stack that are used at most
  void (*entry)(void*) = nullptr;
  void* argument = nullptr;
#if defined(__x86_64__)
  void* own = nullptr;     // stack pointer of the fiber while it is left
  void* caller = nullptr;  // stack pointer of resume() while the fiber runs
#else
  ucontext_t own, caller;
#endif
#if defined(__SANITIZE_ADDRESS__)
  void* own_fake = nullptr;
  void* caller_fake = nullptr;
  const void* caller_stack = nullptr;
  std::size_t caller_bytes = 0;
#endif
  static Context* running;
  static void begin();
};

Fiber::Context* Fiber::Context::running = nullptr;

void Fiber::Context::begin() {
  Context& context = *running;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &context.caller_stack, &context.caller_bytes);
#endif
  context.entry(context.argument);
}

Fiber::Fiber() : context_(new Context) {
  // Stacks that all began at the same place of a page would meet in the same few cache lines.
  static std::size_t num_fibers = 0;
  context_->top = kStackBytes - num_fibers++ % 61 * 256;
  context_->stack =
      mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (context_->stack == MAP_FAILED) throw std::bad_alloc();
}

Fiber::~Fiber() {
  munmap(context_->stack, kStackBytes);
  delete context_;
}

void Fiber::start(void (*entry)(void*), void* argument) {
  context_->entry = entry;
  context_->argument = argument;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(context_->stack, kStackBytes);  // a fiber that was abandoned left its frames there
  context_->own_fake = nullptr;
#endif
#if defined(__x86_64__)
  auto** top = reinterpret_cast<void**>(static_cast<char*>(context_->stack) + context_->top);
  *--top = nullptr;  // where begin() would return to
  *--top = reinterpret_cast<void*>(&Context::begin);
  for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
  context_->own = top;
#else
  getcontext(&context_->own);
  context_->own.uc_stack.ss_sp = context_->stack;
  context_->own.uc_stack.ss_size = context_->top;
  context_->own.uc_link = nullptr;
  makecontext(&context_->own, &Context::begin, 0);
#endif
}

void Fiber::resume() {
  Context& context = *context_;
  Context::running = &context;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&context.caller_fake, context.stack, kStackBytes);
#endif
#if defined(__x86_64__)
  grok_emulator_switch(&context.caller, context.own);
#else
  swapcontext(&context.caller, &context.own);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(context.caller_fake, nullptr, nullptr);
#endif
  Context::running = nullptr;
}

void Fiber::leave() {
  Context& context = *Context::running;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&context.own_fake, context.caller_stack, context.caller_bytes);
#endif
#if defined(__x86_64__)
  grok_emulator_switch(&context.own, context.caller);
#else
  swapcontext(&context.own, &context.caller);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(context.own_fake, &context.caller_stack, &context.caller_bytes);
#endif
}

}  // namespace emulator
