#include "platform/linux/file_error.h"

#include "testing.h"

using namespace grok;
using namespace grok::platform;

TEST("gives the hint that belongs to the error number") {
  struct Expectation {
    int error_number;
    ErrorCode code;
    const char* hint;
  };
  for (const Expectation& expectation : {Expectation{EACCES, ErrorCode::io, "permission"},
                                         {ESTALE, ErrorCode::io, "mount the share again"},
                                         {EIO, ErrorCode::io, "dmesg"},
                                         {EMFILE, ErrorCode::io, "ulimit -n"},
                                         {ENFILE, ErrorCode::io, "fs.file-max"},
                                         {ELOOP, ErrorCode::io, "circle"},
                                         {ENAMETOOLONG, ErrorCode::io, "shorter"},
                                         {ENOTDIR, ErrorCode::not_found, "is a file"},
                                         {ENOMEM, ErrorCode::out_of_memory, "memory"},
                                         {ETIMEDOUT, ErrorCode::io, "does not answer"},
                                         {ENOTCONN, ErrorCode::io, "FUSE"}}) {
    const Error error = file_error("a", "cannot be opened", expectation.error_number);
    CHECK(error.code == expectation.code);
    CHECK(error.hint.find(expectation.hint) != std::string::npos);
    CHECK_EQ(error.hint.find("permission") == std::string::npos, expectation.error_number != EACCES);
  }
  CHECK_EQ(file_error("a", "cannot be opened", ENOSPC).hint, "");
}

TEST("repeats an interrupted call, and not for ever") {
  int calls = 0;
  const auto interrupted_twice = [&] {
    errno = EINTR;
    return ++calls > 2 ? 7 : -1;
  };
  CHECK_EQ(retry_interrupted(interrupted_twice), 7);
  CHECK_EQ(calls, 3);
  CHECK_EQ(retry_interrupted([&] {
             ++calls;
             errno = EINTR;
             return -1;
           }),
           -1);
  CHECK(calls < 2000);
  calls = 0;
  CHECK_EQ(retry_interrupted([&] {
             ++calls;
             errno = EIO;
             return -1;
           }),
           -1);
  CHECK_EQ(calls, 1);
}

TEST_MAIN()
