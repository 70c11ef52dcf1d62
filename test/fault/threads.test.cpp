#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <iterator>
#include <vector>

#include "backend/cpu/cpu.h"
#include "testing.h"
#include "threads/thread_pool.h"

namespace {

int num_allowed = 1000;  // threads that the system starts from here on

}  // namespace

// Replaces the system's, which the C++ library calls.
extern "C" [[gnu::visibility("default")]] int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                                                             void* (*body)(void*), void* argument) {
  static const auto real = reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_NEXT, "pthread_create"));
  return num_allowed-- > 0 ? real(thread, attributes, body, argument) : EAGAIN;
}

namespace grok::fault {
namespace {

// Threads of this process.
std::ptrdiff_t num_running() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), std::filesystem::directory_iterator());
}

TEST("a pool whose threads are refused runs with fewer, leaves some to others, and ends all that it started") {
  const std::ptrdiff_t before = num_running();
  for (int allowed = 0; allowed <= 15; ++allowed) {
    num_allowed = allowed;
    threads::ThreadPool pool(16);
    const int expected = allowed == 15 ? 16 : std::max(1, allowed + 1 - 8);
    CHECK_EQ(pool.num_threads(), expected);
    CHECK_EQ(num_running(), before + expected - 1);
    std::vector<int> visits(1000);
    for (int loop = 0; loop < 20; ++loop) pool.parallel_for(visits.size(), [&](std::size_t index) { ++visits[index]; });
    CHECK(visits == std::vector<int>(1000, 20));
  }
  CHECK_EQ(num_running(), before);
}

TEST("a device reports the threads it has, not the number that was requested") {
  num_allowed = 11;
  const auto backend = cpu::make_backend({.num_threads = 64, .isa = "", .weights = WeightStorage::packed});
  CHECK(backend->description().find(", 4 threads)") != std::string::npos);
  num_allowed = 1000;
}

}  // namespace
}  // namespace grok::fault

TEST_MAIN()
