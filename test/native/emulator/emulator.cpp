#define EMULATED_NVCC
#include "emulator/emulator.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "emulator/fiber.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulator {
namespace {

constexpr int kWarpSize = 32;
constexpr std::uint64_t kMostSpins = 1'000'000;
constexpr int kMostLaunches = 3;         // launches that run at the same time
constexpr unsigned char kPoison = 0xff;  // NaN as a float, -1 as an integer

// Shared memory of exactly the requested size, so that AddressSanitizer sees an access past it.
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
  // The running warp and block, which are not in the ready lists. A warp runs until none of its threads can continue,
  // and a block for some time, because both keep data in the cache.
  std::vector<Block*> ready;
  Block* block = nullptr;
  Warp* warp = nullptr;
  Thread* running = nullptr;
  bool is_random = true;
  bool has_news = false;    // for run(): a fault, a finished block, or a launch that may begin
  std::uint64_t spins = 0;  // yields since a thread last made progress
  std::string fault;
};

Machine* machine = nullptr;

// Fibers without a thread. The most recently used one is last, because its stack is still in the cache.
std::vector<std::unique_ptr<Fiber>>& idle_fibers() {
  static std::vector<std::unique_ptr<Fiber>> idle;
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

// A random number below `count`, or 0.
std::size_t pick_below(std::size_t size) {
  return machine->is_random ? std::size_t((random_number() >> 32) * size >> 32) : 0;
}

void add_ready(Warp& warp) {
  Block& block = *warp.block;
  if (block.ready.empty() && &block != machine->block) machine->ready.push_back(&block);
  block.ready.push_back(&warp);
}

void wake(Thread& thread) {
  Warp& warp = *thread.warp;
  if (warp.num_ready == 0 && &warp != machine->warp) add_ready(warp);
  const std::size_t place = pick_below(std::size_t(warp.num_ready) + 1);
  if (machine->is_random)
    warp.ready[warp.num_ready] = warp.ready[place];
  else
    std::copy_backward(warp.ready, warp.ready + warp.num_ready, warp.ready + warp.num_ready + 1);
  warp.ready[place] = std::uint8_t(thread.lane);
  ++warp.num_ready;
}

// A random element, or the first.
template <typename T>
T take_one(std::vector<T>& from) {
  const std::size_t pick = pick_below(from.size());
  const T taken = from[pick];
  if (machine->is_random) {
    from[pick] = from.back();
    from.pop_back();
  } else {
    from.erase(from.begin());
  }
  return taken;
}

// Returns the running warp and block to the ready lists.
void interrupt() {
  Block* const block = std::exchange(machine->block, nullptr);
  Warp* const warp = std::exchange(machine->warp, nullptr);
  if (block && !block->ready.empty()) machine->ready.push_back(block);
  if (warp && warp->num_ready > 0) add_ready(*warp);
}

// A warp that can continue, or null. It belongs to the same block, until about all of its warps have had a turn.
Warp* next_warp() {
  Block*& block = machine->block;
  if (block && (block->ready.empty() || (machine->is_random && pick_below(block->warps.size()) == 0))) interrupt();
  if (!block && !machine->ready.empty()) block = take_one(machine->ready);
  return block ? take_one(block->ready) : nullptr;
}

// A thread that can continue, or null.
Thread* next_thread() {
  if (!machine->warp || machine->warp->num_ready == 0) {
    machine->warp = nullptr;
    machine->warp = next_warp();
    if (!machine->warp) return nullptr;
  }
  Warp& warp = *machine->warp;
  Thread& next = warp.threads[warp.ready[--warp.num_ready]];
  if (warp.num_ready > 0)
    if (const auto& after = warp.threads[warp.ready[warp.num_ready - 1]].fiber) after->prefetch();
  return &next;
}

// Makes this thread the running one.
void become(Thread& thread) {
  if (!machine->running || machine->running->block != thread.block) {
    blockIdx = thread.block->index;
    const Launch& launch = *thread.block->grid->launch;
    gridDim = {launch.grid.x, launch.grid.y, launch.grid.z};
    blockDim = {launch.block.x, launch.block.y, launch.block.z};
  }
  threadIdx = thread.index;
  machine->running = &thread;
}

void run_threads();

Fiber& fiber_of(Thread& thread) {
  if (!thread.fiber) {
    auto& idle = idle_fibers();
    if (idle.empty()) {
      idle.push_back(std::make_unique<Fiber>());
      idle.back()->start(run_threads);
    }
    thread.fiber = std::move(idle.back());
    idle.pop_back();
  }
  return *thread.fiber;
}

// Runs other threads until this one is woken.
void wait_for_turn() {
  Thread* const next = machine->has_news ? nullptr : next_thread();
  if (!next) return Fiber::leave();
  if (next == machine->running) return;
  become(*next);
  fiber_of(*next).take_over();
}

void wait() {
  machine->spins = 0;
  wait_for_turn();
}

void open_barrier(Block& block) {
  if (block.at_barrier.empty() || block.at_barrier.size() < block.num_alive) return;
  for (Thread* thread : block.at_barrier) wake(*thread);
  block.at_barrier.clear();
}

// Reports state that a thread left behind.
void finish(Thread& thread) {
  if (thread.first_copy < thread.copies.size())
    report("the thread returned with asynchronous copies that it never waited for");
  if (thread.block->grid->launch->may_begin_early && !thread.has_waited)
    report("the thread returned and never waited for the launch before, though its own may begin early");
  thread.warp->returned |= 1u << thread.lane;
  for (const Collective& collective : thread.warp->collectives)
    if (collective.mask & (1u << thread.lane))
      report(std::string("the thread returned while others wait for it in ") + collective.what + " at " +
             text_of(collective.where));
}

void run_thread(Thread& thread) {
  // An exception cannot leave a fiber: the scheduler throws it again.
  try {
    thread.block->grid->launch->body();
    finish(thread);
  } catch (const Fault& fault) {
    machine->fault = fault.what();
  }
  while (!machine->fault.empty()) Fiber::leave();
  machine->spins = 0;
  if (--thread.block->num_alive == 0)
    machine->has_news = true;
  else
    open_barrier(*thread.block);
}

// The body of every fiber. A thread that begins after another has returned reuses its fiber.
void run_threads() {
  for (;;) {
    run_thread(*machine->running);
    std::unique_ptr<Fiber> own = std::move(machine->running->fiber);
    Thread* const next = machine->has_news ? nullptr : next_thread();
    if (next) become(*next);
    if (next && !next->fiber) {
      next->fiber = std::move(own);
      continue;
    }
    idle_fibers().push_back(std::move(own));
    next ? next->fiber->take_over() : Fiber::leave();
  }
}

void let_next_begin(Block& block) {
  block.grid->num_letting += !block.lets_next_begin;
  block.lets_next_begin = true;
  if (block.grid->num_letting == block.grid->num_blocks) machine->has_news = true;
}

std::unique_ptr<Block> make_block(Grid& grid) {
  const Extent extent = grid.launch->grid, threads = grid.launch->block;
  const auto number = unsigned(grid.num_begun++);
  auto block = std::make_unique<Block>();
  block->grid = &grid;
  block->index = {number % extent.x, number / extent.x % extent.y, number / extent.x / extent.y};
  block->dynamic = poisoned(grid.launch->dynamic_shared_bytes);
  block->num_alive = threads.x * threads.y * threads.z;
  block->threads.resize(block->num_alive);
  block->warps.resize((block->num_alive + kWarpSize - 1) / kWarpSize);
  for (unsigned thread_number = 0; thread_number < block->num_alive; ++thread_number) {
    Thread& thread = block->threads[thread_number];
    thread.block = block.get();
    thread.lane = thread_number % kWarpSize;
    thread.warp = &block->warps[thread_number / kWarpSize];
    if (thread.lane == 0) {
      thread.warp->block = block.get();
      thread.warp->threads = &thread;
    }
    thread.warp->existing |= 1u << thread.lane;
    thread.index = {thread_number % threads.x, thread_number / threads.x % threads.y,
                    thread_number / threads.x / threads.y};
    wake(thread);
  }
  return block;
}

// As many blocks of each launch as fit.
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

// Takes the fibers from threads that will not continue.
void abandon(Block& block) {
  for (Thread& thread : block.threads) {
    if (!thread.fiber) continue;
    thread.fiber->start(run_threads);
    idle_fibers().push_back(std::move(thread.fiber));
  }
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
  here.is_random = settings().seed != 0;
  machine = &here;
  struct Leave {
    ~Leave() {
      for (const auto& left : machine->blocks) abandon(*left);
      machine = nullptr;
    }
  } leave;

  for (;;) {
    begin_blocks();
    if (here.blocks.empty()) return;
    if (here.is_random) interrupt();  // threads that have just begun may run first
    Thread* const first = next_thread();
    if (!first) throw Fault(what_they_wait_for());
    become(*first);
    here.has_news = false;
    fiber_of(*first).resume();
    if (!here.fault.empty()) throw Fault(here.fault);

    Block* const last = here.running->block;
    here.running = nullptr;
    if (last->num_alive == 0) {
      here.block = nullptr;
      here.warp = nullptr;
      end(*last);
      std::erase_if(here.blocks, [&](const auto& alive) { return alive.get() == last; });
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

void wait_for_launch_before() {
  Thread& thread = running();
  Grid& grid = *thread.block->grid;
  thread.has_waited = true;
  if (!grid.before || grid.before->is_done()) return;
  grid.waiting.push_back(&thread);
  wait();
}

void let_next_launch_begin() { let_next_begin(*running().block); }

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
