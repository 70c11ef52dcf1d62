#pragma once

#include <string>
#include <utility>

namespace grok::napi {

// The right of one caller to wait for files. A mount that does not answer keeps a thread for ever: at most four threads
// of the process read files at once, so that it loses no more than four.
class FileTurn {
 public:
  // `path` stands in messages.
  explicit FileTurn(std::string path) : path_(std::move(path)) {}

  // Does work() once fewer than four threads read. Throws cancelled after give_up(), and io if all four are given up.
  template <typename Work>
  auto take(Work work) {
    const Reading reading(*this);
    auto result = work();
    throw_if_given_up();
    return result;
  }

  // For a caller who stops waiting. Returns whether work() is running. May be called from any thread.
  bool give_up();
  void throw_if_given_up() const;

 private:
  struct Shared;
  static Shared& shared();

  struct Reading {
    explicit Reading(FileTurn& turn) : turn(turn) { turn.begin(); }
    ~Reading() { turn.end(); }
    FileTurn& turn;
  };
  void begin();
  void end();

  const std::string path_;
  bool is_given_up_ = false;  // under the shared mutex, like the next
  bool is_reading_ = false;
};

}  // namespace grok::napi
