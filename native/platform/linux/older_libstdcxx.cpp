// Two functions that GCC 12 moved into libstdc++.so. With copies of them the addon also loads beside the libstdc++ of
// GCC 11, which RHEL 9 and Amazon Linux 2023 have.
#include <pthread.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>

#if defined(_GLIBCXX_RELEASE) && _GLIBCXX_RELEASE >= 12

// Source: libstdc++ of GCC 12, GLIBCXX_3.4.30.
void std::condition_variable::wait(std::unique_lock<std::mutex>& lock) {
  pthread_cond_wait(native_handle(), lock.mutex()->native_handle());
}

#ifdef _GLIBCXX_ASSERTIONS
void std::__glibcxx_assert_fail(const char* file, int line, const char* function, const char* condition) noexcept {
  std::fprintf(stderr, "%s:%d: %s: Assertion '%s' failed.\n", file, line, function, condition);
  std::abort();
}
#endif

#endif
