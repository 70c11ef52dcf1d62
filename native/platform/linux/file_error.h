#pragma once

#include <cerrno>
#include <string>

#include "core/error.h"

namespace grok::platform {

// Builds the error of a system call on a file, from its errno. `failure` says what failed: "cannot be opened". The hint
// fits the errno. The code is not_found for a missing file, out_of_memory for ENOMEM, otherwise io.
Error file_error(const std::string& path, const std::string& failure, int error_number);

// Repeats a system call that a signal interrupted. The number of tries is bounded, because a broken file system may
// always report an interruption.
template <typename Call>
auto retry_interrupted(Call call) {
  constexpr int kMostTries = 1000;
  auto result = call();
  for (int tries = 1; result < 0 && errno == EINTR && tries < kMostTries; ++tries) result = call();
  return result;
}

}  // namespace grok::platform
