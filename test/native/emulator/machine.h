#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "emulator/emulator.h"
#include "emulator/fiber.h"

// The state of the emulated device while launches run.
namespace emulator {

inline constexpr int kWarpSize = 32;
inline constexpr unsigned char kPoison = 0xff;  // NaN as a float, -1 as an integer

// Shared memory of exactly the requested size, so that AddressSanitizer sees an access past it.
struct FreeMemory {
  void operator()(void* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<void, FreeMemory>;

inline Memory poisoned(std::size_t size_bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 128, std::max<std::size_t>(size_bytes, 1)) != 0) throw std::bad_alloc();
  std::memset(memory, kPoison, size_bytes);
  return Memory(memory);
}

struct Copy {
  void* to;
  const void* from;
  std::size_t size_bytes, zero_bytes;
  int group;  // of its thread
  bool landed;
  void land() {
    if (landed) return;
    std::memcpy(to, from, size_bytes);
    std::memset(static_cast<char*>(to) + size_bytes, 0, zero_bytes);
    landed = true;
  }
};

struct Collective {
  unsigned mask;
  const char* what;
  Where where;
  unsigned arrived;
  void* arguments[kWarpSize];
};

struct Block;
struct Warp;

struct Thread {
  std::unique_ptr<Fiber> fiber;  // null before the thread begins and after it has returned
  Block* block = nullptr;
  Warp* warp = nullptr;
  uint3 index;
  unsigned lane = 0;
  bool has_waited = false;   // whether it has waited for the previous launch
  std::vector<Copy> copies;  // pending copies, from first_copy on
  std::size_t first_copy = 0;
  int num_groups = 0;  // committed
};

struct Warp {
  Block* block = nullptr;
  Thread* threads = nullptr;            // of its lanes
  unsigned existing = 0, returned = 0;  // lanes
  int num_ready = 0;
  std::uint8_t ready[kWarpSize];  // lanes that can continue, the next one last
  std::vector<Collective> collectives;
};

struct Grid;

struct Block {
  Grid* grid = nullptr;
  uint3 index;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  Memory dynamic;
  std::vector<std::pair<const void*, Memory>> statics;
  std::vector<Thread*> at_barrier;
  Where barrier;
  std::vector<Warp*> ready;  // warps with threads that can continue
  unsigned num_alive = 0;
  bool lets_next_begin = false;
};

// One launch. Counts are of blocks.
struct Grid {
  const Launch* launch = nullptr;
  Grid* before = nullptr;
  Grid* next = nullptr;
  std::uint64_t num_blocks = 0, num_begun = 0, num_letting = 0, num_done = 0;
  std::vector<Thread*> waiting;  // threads that wait for the previous launch

  bool is_done() const { return num_done == num_blocks; }
  bool may_begin() const {
    return !before || before->is_done() || (launch->may_begin_early && before->num_letting == before->num_blocks);
  }
};

struct Machine {
  std::vector<Grid> grids;
  Grid* first = nullptr;                       // the first unfinished launch
  std::vector<std::unique_ptr<Block>> blocks;  // running blocks
  std::vector<Block*> ready;                   // blocks with threads that can continue
  // The running warp and block, which are not in the ready lists. A warp runs until none of its threads can continue,
  // and a block for some time, because both keep data in the cache.
  Block* block = nullptr;
  Warp* warp = nullptr;
  Thread* running = nullptr;
  bool is_random = true;
  bool has_news = false;    // for run(): a fault, a finished block, or a launch that may begin
  std::uint64_t spins = 0;  // yields since a thread last made progress
  std::string fault;
};

// Null outside of run().
extern Machine* machine;

inline Thread& running() {
  if (!machine || !machine->running) throw Fault("this may only be called from inside a kernel");
  return *machine->running;
}

// Makes a thread ready to continue.
void wake(Thread& thread);
// Runs other threads until this one is woken.
void wait_for_turn();
// The same, after progress: the thread does not spin.
void wait();
// Returns the running warp and block to the ready lists.
void interrupt();
// Wakes the threads at the barrier if all threads of the block have arrived.
void open_barrier(Block& block);
void trigger_next(Block& block);

std::string text_of(const Where& where);
std::string text_of(const uint3& index);
std::string what_they_wait_for();

}  // namespace emulator
