#pragma once

#include <cerrno>
#include <string>

#include "core/error.h"

namespace grok::platform {

// The error of a system call on a file, from the errno it left. `failure` says what did not happen: "cannot be opened".
// The hint fits the errno. not_found for a missing file, out_of_memory for ENOMEM, else io.
Error file_error(const std::string& path, const std::string& failure, int error_number);

// Repeats a system call that a signal interrupted. Bounded, so that a file system that answers nothing else ends in an
// error.
template <typename Call>
auto retry_interrupted(Call call) {
  constexpr int kMostTries = 1000;
  auto result = call();
  for (int tries = 1; result < 0 && errno == EINTR && tries < kMostTries; ++tries) result = call();
  return result;
}

}  // namespace grok::platform
