#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <span>
#include <stdexcept>
#include <string>

// The execution model of CUDA on one CPU thread: each device thread runs on a fiber; barriers, warp collectives, shared memory
// and asynchronous copies do what the programming guide promises and no more. What it leaves open (who runs first, when a
// copy lands, what memory holds before it is written) is drawn at random from a seed, so that code which counts on luck
// runs out of it. Not emulated: the memory model between blocks, coalescing, bank conflicts, speed.
namespace emulator {

struct Settings {
  Settings();
  std::uint64_t seed = 1;   // of every random choice, or GROK_EMULATOR_SEED; 0: threads in order, copies at once
  int resident_blocks = 3;  // blocks alive at a time
  // The device that the runtime shows.
  int driver_version = 13000;  // of CUDA, a thousand for each major one; 0: there is no driver
  int num_devices = 1;
  int compute_major = 9, compute_minor = 0;
  bool has_kernels = true;  // this program, for the device
  int num_multiprocessors = 2;
  std::size_t memory_bytes = std::size_t(4) << 30;
};

// A fresh copy of the defaults stands at the start of the program; tests change it and change it back.
Settings& settings();

// A kernel broke a rule. The message says which, where, and what the threads were at.
struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Extent {
  unsigned x = 1, y = 1, z = 1;
};

// A kernel and how it is spread out.
struct Launch {
  Extent grid, block;
  std::size_t dynamic_shared_bytes = 0;
  std::function<void()> body;
  // It begins as soon as every block of the launch before has let it or has returned (programmatic dependent launch), beside
  // what still runs of that. So each of its threads has to wait for the launch before, and a kernel that touches too early
  // what that one reads or writes shows.
  bool may_begin_early = false;
};

// Runs each body once for each thread of its grid, and returns when all are done. Throws Fault.
void run(std::span<const Launch> launches);
void run(Extent grid, Extent block, std::size_t dynamic_shared_bytes, const std::function<void()>& body);

// ---------------------------------------------------------------- from inside a kernel

using Where = std::source_location;
inline constexpr unsigned kAllLanes = 0xffffffffu;

// Waits for all threads of the block that have not returned.
void block_barrier(Where where);

// The block's dynamic shared memory, and its static variable of this identity.
void* dynamic_shared();
void* static_shared(const void* identity, std::size_t size_bytes);

// Lets others run: what a thread that spins on a flag has to do.
void yield();

// Waits for all lanes of the mask, then runs `body` once for all of them with each lane's argument (null: not in the mask).
void warp_collective(unsigned mask, const char* what, Where where, void* argument,
                     void (*body)(void* const* arguments));

unsigned lane();

// An asynchronous copy of this thread into shared memory: it lands at some time between now and the wait.
void copy_async(void* to, const void* from, std::size_t size_bytes, std::size_t zero_bytes);
void copy_async_commit();
// Waits for all but the last num_pending groups of this thread.
void copy_async_wait(int num_pending);

// Of a launch that may begin early: waits for the launch before to be done. Of one before such a launch: this block has no
// objection any more.
void wait_for_launch_before();
void let_next_launch_begin();

// Ends the launch with a Fault.
[[noreturn]] void report(const std::string& what);

std::uint64_t random_number();

}  // namespace emulator
