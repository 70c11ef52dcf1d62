#pragma once

#include <string>
#include <vector>

#include "core/error.h"

namespace grok {

// Collects the problems of a checkpoint or a config, so that one error reports all of them.
class ProblemList {
 public:
  void add(ErrorCode code, std::string line) {
    // A line break in a file's name must not look like another problem.
    for (std::size_t at; (at = line.find('\n')) != std::string::npos;) line.replace(at, 1, "\\x0a");
    if (count_++ == 0) code_ = code;
    if (code != code_) code_ = ErrorCode::bad_checkpoint;
    if (lines_.size() < kMaxLines) lines_.push_back(line);
  }
  void add(const std::string& line) { add(ErrorCode::bad_checkpoint, line); }
  void add(const Error& error) {
    add(error.code, error.what());
    if (hint_.empty()) hint_ = error.hint;
  }

  bool empty() const { return count_ == 0; }

  // Does nothing if there is no problem. The error has the code of the problems if they agree. An empty `hint` is
  // replaced by the first hint of a problem.
  void throw_if_any(const std::string& headline, const std::string& hint = {}) const {
    if (empty()) return;
    std::string message = headline;
    for (const std::string& line : lines_) message += "\n  " + line;
    if (count_ > lines_.size()) message += concat("\n  and ", count_ - lines_.size(), " more");
    throw Error(code_, message, hint.empty() ? hint_ : hint);
  }

 private:
  static constexpr std::size_t kMaxLines = 20;
  std::vector<std::string> lines_;
  std::size_t count_ = 0;
  ErrorCode code_ = ErrorCode::bad_checkpoint;
  std::string hint_;
};

}  // namespace grok
