#define EMULATED_NVCC
#include "emulator/emulator.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "emulator/machine.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulator {

Machine* machine = nullptr;

namespace {

constexpr int kMostLaunches = 3;  // launches that run at the same time

// Fibers without a thread. The most recently used one is last, because its stack is still in the cache.
std::vector<std::unique_ptr<Fiber>>& idle_fibers() {
  static std::vector<std::unique_ptr<Fiber>> idle;
  return idle;
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
  trigger_next(block);
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

std::uint64_t random_state = 0;

}  // namespace

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

void interrupt() {
  Block* const block = std::exchange(machine->block, nullptr);
  Warp* const warp = std::exchange(machine->warp, nullptr);
  if (block && !block->ready.empty()) machine->ready.push_back(block);
  if (warp && warp->num_ready > 0) add_ready(*warp);
}

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

void trigger_next(Block& block) {
  block.grid->num_letting += !block.lets_next_begin;
  block.lets_next_begin = true;
  if (block.grid->num_letting == block.grid->num_blocks) machine->has_news = true;
}

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

}  // namespace emulator
