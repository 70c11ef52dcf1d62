#define EMULATED_NVCC
#include "emulator/emulator.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "emulator/fiber.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulator {
namespace {

constexpr int kWarpSize = 32;
constexpr std::uint64_t kMostSpins = 1'000'000;
constexpr int kMostLaunches = 3;         // that run beside each other
constexpr unsigned char kPoison = 0xff;  // NaN as a float, -1 as an integer

// Shared memory of exactly the size asked for, so that AddressSanitizer sees an access past it.
struct FreeMemory {
  void operator()(void* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<void, FreeMemory>;

Memory poisoned(std::size_t size_bytes) {
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
  unsigned arrived = 0;
  void* arguments[kWarpSize] = {};
};

struct Block;

struct Thread {
  Fiber fiber;
  Block* block = nullptr;
  uint3 index;
  unsigned number = 0;  // in the block
  bool returned = false;
  bool has_waited = false;   // for the launch before
  std::vector<Copy> copies;  // not waited for yet, from first_copy on
  std::size_t first_copy = 0;
  int num_groups = 0;  // committed
};

struct Warp {
  std::vector<Thread*> ready;
  unsigned returned = 0;  // lanes
  std::vector<Collective> collectives;
};

struct Grid;

struct Block {
  Grid* grid = nullptr;
  uint3 index;
  std::vector<std::unique_ptr<Thread>> threads;
  std::vector<Warp> warps;
  Memory dynamic;
  std::map<const void*, std::pair<std::size_t, Memory>> statics;
  std::vector<Thread*> at_barrier;
  Where barrier;
  unsigned num_alive = 0;
  bool lets_next_begin = false;
};

// One launch. Counts are of blocks.
struct Grid {
  const Launch* launch = nullptr;
  Grid* before = nullptr;
  Grid* next = nullptr;
  std::uint64_t num_blocks = 0, num_begun = 0, num_letting = 0, num_done = 0;
  std::vector<Thread*> waiting;  // for the launch before

  bool is_done() const { return num_done == num_blocks; }
  bool may_begin() const {
    return !before || before->is_done() || (launch->may_begin_early && before->num_letting == before->num_blocks);
  }
};

struct Machine {
  std::vector<Grid> grids;
  Grid* first = nullptr;                       // that is not done
  std::vector<std::unique_ptr<Block>> blocks;  // alive
  std::vector<Warp*> ready;                    // warps with threads that can go on
  Warp* at = nullptr;  // the warp that is being run: until none of its threads can go on, which a cache likes
  Thread* running = nullptr;
  std::uint64_t spins = 0;  // yields since a thread last got anywhere
  std::string fault;
};

Machine* machine = nullptr;

std::vector<std::unique_ptr<Thread>>& idle_threads() {
  static std::vector<std::unique_ptr<Thread>> idle;
  return idle;
}

bool is_same(const Where& a, const Where& b) {
  return a.line() == b.line() && (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

std::string text_of(const Where& where) {
  const std::string path = where.file_name();
  std::ostringstream out;
  out << path.substr(path.rfind('/') + 1) << ":" << where.line();
  return out.str();
}

std::string text_of(const uint3& index) {
  std::ostringstream out;
  out << "(" << index.x << ", " << index.y << ", " << index.z << ")";
  return out.str();
}

Thread& running() {
  if (!machine || !machine->running) throw Fault("this may only be called from inside a kernel");
  return *machine->running;
}

Warp& warp_of(Thread& thread) { return thread.block->warps[thread.number / kWarpSize]; }

void wake(Thread& thread) {
  Warp& warp = warp_of(thread);
  if (warp.ready.empty() && &warp != machine->at) machine->ready.push_back(&warp);
  warp.ready.push_back(&thread);
}

// At random, or the first.
template <typename T>
T take_one(std::vector<T>& from) {
  const std::size_t pick = settings().seed ? random_number() % from.size() : 0;
  const T taken = from[pick];
  if (settings().seed) {
    from[pick] = from.back();
    from.pop_back();
  } else {
    from.erase(from.begin());
  }
  return taken;
}

// A thread that can go on, or none.
Thread* next_thread() {
  if (machine->at && machine->at->ready.empty()) machine->at = nullptr;
  if (!machine->at) {
    if (machine->ready.empty()) return nullptr;
    machine->at = take_one(machine->ready);
  }
  return take_one(machine->at->ready);
}

void wait() {
  machine->spins = 0;
  Fiber::leave();
}

void open_barrier(Block& block) {
  if (block.at_barrier.empty() || block.at_barrier.size() < block.num_alive) return;
  for (Thread* thread : block.at_barrier) wake(*thread);
  block.at_barrier.clear();
}

// What a thread must not leave behind.
void finish(Thread& thread) {
  if (thread.first_copy < thread.copies.size())
    report("the thread returned with asynchronous copies that it never waited for");
  if (thread.block->grid->launch->may_begin_early && !thread.has_waited)
    report("the thread returned and never waited for the launch before, though its own may begin early");
  thread.returned = true;
  Warp& warp = warp_of(thread);
  warp.returned |= 1u << lane();
  for (const Collective& collective : warp.collectives)
    if (collective.mask & (1u << lane()))
      report(std::string("the thread returned while others wait for it in ") + collective.what + " at " +
             text_of(collective.where));
}

void run_thread(void* argument) {
  Thread& thread = *static_cast<Thread*>(argument);
  // An exception cannot leave a fiber: the scheduler throws it again.
  try {
    thread.block->grid->launch->body();
    finish(thread);
  } catch (const Fault& fault) {
    machine->fault = fault.what();
    for (;;) wait();
  }
  --thread.block->num_alive;
  open_barrier(*thread.block);
  for (;;) wait();
}

void let_next_begin(Block& block) {
  block.grid->num_letting += !block.lets_next_begin;
  block.lets_next_begin = true;
}

std::unique_ptr<Block> make_block(Grid& grid) {
  const Extent extent = grid.launch->grid, threads = grid.launch->block;
  const auto number = unsigned(grid.num_begun++);
  auto block = std::make_unique<Block>();
  block->grid = &grid;
  block->index = {number % extent.x, number / extent.x % extent.y, number / extent.x / extent.y};
  block->dynamic = poisoned(grid.launch->dynamic_shared_bytes);
  block->num_alive = threads.x * threads.y * threads.z;
  block->warps.resize((block->num_alive + kWarpSize - 1) / kWarpSize);
  for (unsigned thread_number = 0; thread_number < block->num_alive; ++thread_number) {
    auto& idle = idle_threads();
    std::unique_ptr<Thread> thread;
    if (idle.empty()) {
      thread = std::make_unique<Thread>();
    } else {
      thread = std::move(idle.back());
      idle.pop_back();
    }
    thread->block = block.get();
    thread->number = thread_number;
    thread->index = {thread_number % threads.x, thread_number / threads.x % threads.y,
                     thread_number / threads.x / threads.y};
    thread->returned = thread->has_waited = false;
    thread->copies.clear();
    thread->first_copy = 0;
    thread->num_groups = 0;
    thread->fiber.start(run_thread, thread.get());
    wake(*thread);
    block->threads.push_back(std::move(thread));
  }
  return block;
}

// As many blocks of each launch as find room.
void begin_blocks() {
  while (machine->first && machine->first->is_done()) machine->first = machine->first->next;
  int num_launches = 0;
  for (Grid* grid = machine->first; grid && grid->may_begin() && num_launches < kMostLaunches; grid = grid->next) {
    while (grid->num_begun < grid->num_blocks &&
           grid->num_begun - grid->num_done < std::uint64_t(std::max(1, settings().resident_blocks)))
      machine->blocks.push_back(make_block(*grid));
    ++num_launches;
  }
}

// The block's last thread has returned.
void end(Block& block) {
  Grid& grid = *block.grid;
  let_next_begin(block);
  ++grid.num_done;
  if (grid.is_done() && grid.next) {
    for (Thread* thread : grid.next->waiting) wake(*thread);
    grid.next->waiting.clear();
  }
}

void retire(Block& block) {
  for (auto& thread : block.threads) idle_threads().push_back(std::move(thread));
}

std::string what_they_wait_for() {
  std::ostringstream out;
  out << "deadlock:";
  for (const auto& block : machine->blocks) {
    out << " block " << text_of(block->index) << " has " << block->num_alive << " threads alive";
    if (!block->at_barrier.empty())
      out << ", " << block->at_barrier.size() << " at __syncthreads (" << text_of(block->barrier) << ")";
    for (std::size_t warp = 0; warp < block->warps.size(); ++warp)
      for (const Collective& collective : block->warps[warp].collectives)
        out << ", lanes 0x" << std::hex << collective.arrived << " of 0x" << collective.mask << std::dec << " of warp "
            << warp << " in " << collective.what << " (" << text_of(collective.where) << ")";
    out << ";";
  }
  return out.str();
}

std::uint64_t random_state = 0;

}  // namespace

Settings::Settings() {
  if (const char* given = std::getenv("GROK_EMULATOR_SEED")) seed = std::strtoull(given, nullptr, 10);
}

Settings& settings() {
  static Settings current;
  return current;
}

std::uint64_t random_number() {  // splitmix64
  std::uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

void run(Extent grid, Extent block, std::size_t dynamic_shared_bytes, const std::function<void()>& body) {
  const Launch launch{grid, block, dynamic_shared_bytes, body};
  run({&launch, 1});
}

void run(std::span<const Launch> launches) {
  if (machine) throw Fault("a kernel cannot launch a kernel here");
  Machine here;
  here.grids.resize(launches.size());
  for (std::size_t index = 0; index < launches.size(); ++index) {
    const Extent extent = launches[index].grid;
    Grid& grid = here.grids[index];
    grid.launch = &launches[index];
    grid.num_blocks = std::uint64_t(extent.x) * extent.y * extent.z;
    if (index > 0) {
      grid.before = &here.grids[index - 1];
      grid.before->next = &grid;
    }
  }
  if (!here.grids.empty()) here.first = &here.grids.front();
  random_state = settings().seed;
  machine = &here;
  struct Leave {
    ~Leave() {
      for (const auto& left : machine->blocks) retire(*left);
      machine = nullptr;
    }
  } leave;

  for (;;) {
    begin_blocks();
    if (here.blocks.empty()) return;
    Thread* thread = next_thread();
    if (!thread) throw Fault(what_they_wait_for());
    here.running = thread;
    threadIdx = thread->index;
    blockIdx = thread->block->index;
    const Launch& launch = *thread->block->grid->launch;
    gridDim = {launch.grid.x, launch.grid.y, launch.grid.z};
    blockDim = {launch.block.x, launch.block.y, launch.block.z};
    thread->fiber.resume();
    here.running = nullptr;
    if (!here.fault.empty()) throw Fault(here.fault);

    if (thread->returned && thread->block->num_alive == 0) {
      here.at = nullptr;
      end(*thread->block);
      const auto done = std::find_if(here.blocks.begin(), here.blocks.end(),
                                     [&](const auto& alive) { return alive.get() == thread->block; });
      retire(**done);
      here.blocks.erase(done);
    }
  }
}

void report(const std::string& what) {
  const Thread& thread = running();
  throw Fault("block " + text_of(thread.block->index) + ", thread " + text_of(thread.index) + ": " + what);
}

void block_barrier(Where where) {
  Thread& thread = running();
  Block& block = *thread.block;
  if (block.at_barrier.empty())
    block.barrier = where;
  else if (!is_same(block.barrier, where))
    report("threads of one block wait at different barriers: " + text_of(block.barrier) + " and " + text_of(where));
  block.at_barrier.push_back(&thread);
  if (block.at_barrier.size() == block.num_alive) open_barrier(block);
  wait();
}

void* dynamic_shared() { return running().block->dynamic.get(); }

void* static_shared(const void* identity, std::size_t size_bytes) {
  auto& statics = running().block->statics;
  auto found = statics.find(identity);
  if (found == statics.end()) found = statics.emplace(identity, std::pair(size_bytes, poisoned(size_bytes))).first;
  return found->second.second.get();
}

void yield() {
  running();
  if (++machine->spins > kMostSpins) report("the thread spins, and nothing that could end it happens");
  Warp& warp = warp_of(*machine->running);
  warp.ready.push_back(machine->running);
  machine->ready.push_back(&warp);
  machine->at = nullptr;  // it is another warp's turn
  Fiber::leave();
}

void wait_for_launch_before() {
  Thread& thread = running();
  Grid& grid = *thread.block->grid;
  thread.has_waited = true;
  if (!grid.before || grid.before->is_done()) return;
  grid.waiting.push_back(&thread);
  wait();
}

void let_next_launch_begin() { let_next_begin(*running().block); }

unsigned lane() { return running().number % kWarpSize; }

void warp_collective(unsigned mask, const char* what, Where where, void* argument, void (*body)(void* const*)) {
  Thread& thread = running();
  Warp& warp = warp_of(thread);
  const unsigned bit = 1u << lane();
  const unsigned first = thread.number / kWarpSize * kWarpSize;
  const unsigned num_threads = unsigned(thread.block->threads.size());
  const unsigned existing = num_threads - first >= kWarpSize ? kAllLanes : (1u << (num_threads - first)) - 1;
  if (!(mask & bit)) report(std::string(what) + " at " + text_of(where) + ": the mask leaves out the calling lane");
  if (mask & (warp.returned | ~existing))
    report(std::string(what) + " at " + text_of(where) + ": the mask names lanes that have returned or never were");

  auto found = std::find_if(warp.collectives.begin(), warp.collectives.end(), [&](const Collective& other) {
    return other.mask == mask && other.what == what && is_same(other.where, where) && !(other.arrived & bit);
  });
  if (found == warp.collectives.end()) {
    warp.collectives.push_back({.mask = mask, .what = what, .where = where});
    found = warp.collectives.end() - 1;
  }
  found->arrived |= bit;
  found->arguments[lane()] = argument;
  if (found->arrived == mask) {
    body(found->arguments);
    warp.collectives.erase(found);
    for (unsigned other = 0; other < kWarpSize; ++other)
      if (other != lane() && (mask & (1u << other))) wake(*thread.block->threads[first + other]);
    return;
  }
  wait();
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
