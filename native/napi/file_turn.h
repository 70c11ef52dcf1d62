#pragma once

#include <string>
#include <utility>

namespace grok::napi {

// Permission of one caller to wait for files. A mount that does not respond blocks a thread forever. So at most four
// threads of the process read files at once, and it loses at most four.
class FileTurn {
 public:
  // `path` appears in messages.
  explicit FileTurn(std::string path) : path_(std::move(path)) {}

  // Calls work() once fewer than four threads read. Throws cancelled after give_up(), and io if all four are given up.
  template <typename Work>
  auto take(Work work) {
    const Reading reading(*this);
    auto result = work();
    throw_if_given_up();
    return result;
  }

  // For a caller that stops waiting. Returns whether work() is running. May be called from any thread.
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
  bool is_given_up_ = false;  // guarded by the shared mutex, like the next
  bool is_reading_ = false;
};

}  // namespace grok::napi
