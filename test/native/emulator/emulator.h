#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <span>
#include <stdexcept>
#include <string>

// The execution model of CUDA on one CPU thread. Each device thread runs on a fiber. Barriers, warp collectives, shared
// memory and asynchronous copies behave as the programming guide promises, and no better. Everything that the guide
// leaves open is random, drawn from a seed: which thread runs first, when a copy completes, and the contents of
// unwritten memory. So code that relies on luck fails. Not emulated: the memory model between blocks, coalescing, bank
// conflicts, speed.
namespace emulator {

struct Settings {
  Settings();
  std::uint64_t seed = 1;   // seed of every random choice, or GROK_EMULATOR_SEED; 0: threads in order, copies at once
  int resident_blocks = 3;  // blocks that run at a time
  // The properties of the emulated device.
  int driver_version = 13000;  // of CUDA, a thousand for each major one; 0: there is no driver
  int num_devices = 1;
  int compute_major = 9, compute_minor = 0;
  bool has_kernels = true;  // this program has kernels for the device
  int num_multiprocessors = 2;
  std::size_t memory_bytes = std::size_t(4) << 30;
};

// A copy of the defaults exists at the start of the program; tests change it and restore it.
Settings& settings();

// A kernel broke a rule. The message names the rule, the place, and the state of the threads.
struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Extent {
  unsigned x = 1, y = 1, z = 1;
};

// A kernel and its launch configuration.
struct Launch {
  Extent grid, block;
  std::size_t dynamic_shared_bytes = 0;
  std::function<void()> body;
  // The launch begins as soon as every block of its predecessor has triggered or returned (programmatic dependent
  // launch), beside the rest of that launch. So each of its threads must wait for the predecessor. A kernel that reads
  // or writes the predecessor's data too early becomes visible.
  bool may_begin_early = false;
};

// Runs each body once for each thread of its grid, and returns when all have finished. Throws Fault.
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

// Lets other threads run: required in a thread that spins on a flag.
void yield();

// Waits for all lanes of the mask, then runs `body` once for all of them with each lane's argument (null: not in the
// mask).
void warp_collective(unsigned mask, const char* what, Where where, void* argument,
                     void (*body)(void* const* arguments));

unsigned lane();

// An asynchronous copy of this thread into shared memory. It completes at some time before the wait for it.
void copy_async(void* to, const void* from, std::size_t size_bytes, std::size_t zero_bytes);
void copy_async_commit();
// Waits for all but the last num_pending groups of this thread.
void copy_async_wait(int num_pending);

// In a launch that may begin early: waits for the previous launch to finish. In the launch before it: this block
// triggers its successor.
void pdl_wait();
void pdl_trigger();

// Ends the launch with a Fault.
[[noreturn]] void report(const std::string& what);

std::uint64_t random_number();

}  // namespace emulator
