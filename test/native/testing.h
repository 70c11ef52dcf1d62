#pragma once

#include <cmath>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "core/error.h"

// TEST("a sentence") { CHECK(condition); } in a file that ends with TEST_MAIN(). One executable per file, under ctest.
// The user's machine has cmake and g++ but no test library; the tests need no more than these few lines.
namespace grok::testing {

struct Case {
  const char* title;
  std::function<void()> body;
};

inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

// Called before the first case, after all static objects exist.
inline std::function<void()>& before_all() {
  static std::function<void()> call = [] {};
  return call;
}

inline int& failures() {
  static int count = 0;
  return count;
}

inline void fail(const char* file, int line, const std::string& what) {
  ++failures();
  std::printf("    %s:%d: %s\n", file, line, what.c_str());
}

struct Registration {
  Registration(const char* title, std::function<void()> body) { cases().push_back({title, std::move(body)}); }
};

// Runs every case whose title contains argv[1]; prints "N passed, N failed".
inline int run(int argc, char** argv) {
  const std::string wanted = argc > 1 ? argv[1] : "";
  before_all()();
  int passed = 0, failed = 0;
  for (const Case& test : cases()) {
    if (std::string(test.title).find(wanted) == std::string::npos) continue;
    const int before = failures();
    try {
      test.body();
    } catch (const Error& error) {
      fail(__FILE__, __LINE__, concat("threw ", code_name(error.code), ": ", error.what()));
    } catch (const std::exception& error) {
      fail(__FILE__, __LINE__, concat("threw ", error.what()));
    }
    const bool ok = failures() == before;
    (ok ? passed : failed)++;
    std::printf("%s %s\n", ok ? "  ok  " : "FAILED", test.title);
#ifdef GROK_ONE_FAILURE_IS_ENOUGH
    if (!ok) break;
#endif
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed || !passed ? 1 : 0;
}

}  // namespace grok::testing

#define GROK_JOIN2(a, b) a##b
#define GROK_JOIN(a, b) GROK_JOIN2(a, b)
#define TEST(title)                                                                                             \
  static void GROK_JOIN(test_, __LINE__)();                                                                     \
  static const ::grok::testing::Registration GROK_JOIN(register_, __LINE__){title, GROK_JOIN(test_, __LINE__)}; \
  static void GROK_JOIN(test_, __LINE__)()

#define CHECK(condition)                                                                  \
  do {                                                                                    \
    if (!(condition)) ::grok::testing::fail(__FILE__, __LINE__, "not true: " #condition); \
  } while (0)

#define CHECK_EQ(found, expected)                                                                                 \
  do {                                                                                                            \
    const auto found_ = (found); /* a copy: what it is part of may be gone after this line */                     \
    const auto expected_ = (expected);                                                                            \
    if (!(found_ == expected_))                                                                                   \
      ::grok::testing::fail(__FILE__, __LINE__, ::grok::concat(#found " is ", found_, ", expected ", expected_)); \
  } while (0)

#define CHECK_NEAR(found, expected, tolerance)                                                                   \
  do {                                                                                                           \
    const double found_ = (found), expected_ = (expected);                                                       \
    if (!(std::abs(found_ - expected_) <= (tolerance)))                                                          \
      ::grok::testing::fail(__FILE__, __LINE__,                                                                  \
                            ::grok::concat(#found " is ", found_, ", expected ", expected_, " +- ", tolerance)); \
  } while (0)

// The statement throws grok::Error with this code, and the message contains `text`.
#define CHECK_ERROR(statement, wanted, text)                                                                  \
  do {                                                                                                        \
    try {                                                                                                     \
      statement;                                                                                              \
      ::grok::testing::fail(__FILE__, __LINE__, "did not throw: " #statement);                                \
    } catch (const ::grok::Error& error_) {                                                                   \
      if (error_.code != (wanted) || std::string(error_.what()).find(text) == std::string::npos)              \
        ::grok::testing::fail(__FILE__, __LINE__,                                                             \
                              ::grok::concat("threw ", ::grok::code_name(error_.code), ": ", error_.what())); \
    }                                                                                                         \
  } while (0)

#ifdef GROK_TESTS_TOGETHER  // several files in one program, whose main() is elsewhere
#define TEST_MAIN()
#else
#define TEST_MAIN() \
  int main(int argc, char** argv) { return ::grok::testing::run(argc, argv); }
#endif
