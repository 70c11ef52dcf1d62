#include <cstring>

#include "emulator/machine.h"

namespace emulator {
namespace {

constexpr std::uint64_t kMostSpins = 1'000'000;

bool is_same(const Where& a, const Where& b) {
  return a.line() == b.line() && (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

// A separate function, because each thread keeps its caller's frames on the stack.
[[noreturn, gnu::noinline]] void report_barriers(const Where& first, const Where& second) {
  report("threads of one block wait at different barriers: " + text_of(first) + " and " + text_of(second));
}

[[gnu::noinline]] Collective& begin_collective(Warp& warp, unsigned mask, const char* what, const Where& where) {
  return warp.collectives.emplace_back(Collective{mask, what, where, 0, {}});
}

[[noreturn, gnu::noinline]] void report_mask(bool has_caller, const char* what, const Where& where) {
  report(std::string(what) + " at " + text_of(where) + ": the mask " +
         (has_caller ? "names lanes that have returned or never were" : "leaves out the calling lane"));
}

}  // namespace

void block_barrier(Where where) {
  Thread& thread = running();
  Block& block = *thread.block;
  if (block.at_barrier.empty())
    block.barrier = where;
  else if (!is_same(block.barrier, where))
    report_barriers(block.barrier, where);
  block.at_barrier.push_back(&thread);
  if (block.at_barrier.size() == block.num_alive) open_barrier(block);
  wait();
}

void* dynamic_shared() { return running().block->dynamic.get(); }

void* static_shared(const void* identity, std::size_t size_bytes) {
  auto& statics = running().block->statics;
  for (const auto& [known, memory] : statics)
    if (known == identity) return memory.get();
  return statics.emplace_back(identity, poisoned(size_bytes)).second.get();
}

void yield() {
  Thread& thread = running();
  if (++machine->spins > kMostSpins) report("the thread spins, and nothing that could end it happens");
  interrupt();  // lets another thread run
  wake(thread);
  wait_for_turn();
}

void pdl_wait() {
  Thread& thread = running();
  Grid& grid = *thread.block->grid;
  thread.has_waited = true;
  if (!grid.before || grid.before->is_done()) return;
  grid.waiting.push_back(&thread);
  wait();
}

void pdl_trigger() { trigger_next(*running().block); }

unsigned lane() { return running().lane; }

void warp_collective(unsigned mask, const char* what, Where where, void* argument, void (*body)(void* const*)) {
  Thread& thread = running();
  Warp& warp = *thread.warp;
  const unsigned bit = 1u << thread.lane;
  if (!(mask & bit) || (mask & (warp.returned | ~warp.existing))) report_mask(mask & bit, what, where);

  Collective* found = nullptr;
  for (Collective& other : warp.collectives)
    if (other.mask == mask && other.what == what && is_same(other.where, where)) found = &other;
  if (!found) found = &begin_collective(warp, mask, what, where);
  found->arrived |= bit;
  found->arguments[thread.lane] = argument;
  if (found->arrived != mask) return wait();
  body(found->arguments);
  warp.collectives.erase(warp.collectives.begin() + (found - warp.collectives.data()));
  for (unsigned lane = 0; lane < kWarpSize; ++lane)
    if (lane != thread.lane && (mask & (1u << lane))) wake(warp.threads[lane]);
}

void copy_async(void* to, const void* from, std::size_t size_bytes, std::size_t zero_bytes) {
  Thread& thread = running();
  Copy copy{to, from, size_bytes, zero_bytes, thread.num_groups, false};
  if (!settings().seed || random_number() % 2) copy.land();
  thread.copies.push_back(copy);
}

void copy_async_commit() { ++running().num_groups; }

void copy_async_wait(int num_pending) {
  Thread& thread = running();
  std::vector<Copy>& copies = thread.copies;
  std::size_t& first = thread.first_copy;
  while (first < copies.size() && copies[first].group < thread.num_groups - num_pending) copies[first++].land();
  if (first == copies.size()) {
    copies.clear();
    first = 0;
  }
}

}  // namespace emulator
