#pragma once

#include <exception>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace grok {

// Every failure that can reach a caller. lib/errors.ts lists the same codes; a test compares them.
enum class ErrorCode {
  invalid_argument,  // the caller's mistake
  not_found,         // no such file or directory
  io,                // the system refused a read, or a file changed while it was read
  bad_checkpoint,    // the file exists but its contents are wrong
  unsupported,       // well-formed, but this build cannot run it
  out_of_memory,     // does not fit; the message has the numbers
  context_overflow,  // prompt and max_tokens exceed the context
  closed,            // the engine was closed
  cancelled,         // stopped on request
  cuda_unavailable,  // CUDA was requested and cannot be used
  device_failed,     // permanent: only a new process can use the device again
  internal,          // a bug of grok-run
};

inline const char* code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return "GROK_INVALID_ARGUMENT";
    case ErrorCode::not_found: return "GROK_NOT_FOUND";
    case ErrorCode::io: return "GROK_IO";
    case ErrorCode::bad_checkpoint: return "GROK_BAD_CHECKPOINT";
    case ErrorCode::unsupported: return "GROK_UNSUPPORTED";
    case ErrorCode::out_of_memory: return "GROK_OUT_OF_MEMORY";
    case ErrorCode::context_overflow: return "GROK_CONTEXT_OVERFLOW";
    case ErrorCode::closed: return "GROK_CLOSED";
    case ErrorCode::cancelled: return "GROK_CANCELLED";
    case ErrorCode::cuda_unavailable: return "GROK_CUDA_UNAVAILABLE";
    case ErrorCode::device_failed: return "GROK_DEVICE_FAILED";
    case ErrorCode::internal: return "GROK_INTERNAL";
  }
  return "GROK_INTERNAL";
}

// The message says what was expected, what was found and where; the hint says how to fix it.
struct Error : std::runtime_error {
  Error(ErrorCode code, const std::string& message, std::string hint = {})
      : std::runtime_error(message), code(code), hint(std::move(hint)) {}

  ErrorCode code;
  std::string hint;
};

inline constexpr const char* kNoMoreMemory = "the system refused more memory";
inline constexpr const char* kUnknownException = "an exception that is not a std::exception";

// Converts the exception being handled to an Error. Call it in a catch block.
inline Error current_error() {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return {ErrorCode::out_of_memory, kNoMoreMemory};
  } catch (const std::exception& unexpected) {
    return {ErrorCode::internal, unexpected.what()};
  } catch (...) {
    return {ErrorCode::internal, kUnknownException};
  }
}

// concat("layer ", 12, ": expected ", 8) == "layer 12: expected 8". (g++ 12 has no <format>.)
template <typename... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  out.exceptions(std::ios::badbit);  // otherwise a failed allocation would silently truncate the text
  (out << ... << parts);
  return out.str();
}

}  // namespace grok
