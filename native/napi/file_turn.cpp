#include "napi/file_turn.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <set>
#include <vector>

#include "core/error.h"

namespace grok::napi {
namespace {

constexpr std::size_t kMaxReading = 4;

Error given_up_error() { return {ErrorCode::cancelled, "the caller gave up"}; }

}  // namespace

struct FileTurn::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<FileTurn*> reading;
};

// Never destroyed: a thread may still read when the process ends.
FileTurn::Shared& FileTurn::shared() {
  static Shared& shared = *new Shared;
  return shared;
}

void FileTurn::begin() {
  auto& [mutex, changed, reading] = shared();
  std::unique_lock lock(mutex);
  const auto all_are_given_up = [&] {
    return std::all_of(reading.begin(), reading.end(), [](const FileTurn* turn) { return turn->is_given_up_; });
  };
  changed.wait(lock, [&] { return is_given_up_ || reading.size() < kMaxReading || all_are_given_up(); });
  if (is_given_up_) throw given_up_error();
  if (reading.size() >= kMaxReading) {
    std::set<std::string> stuck;
    for (const FileTurn* turn : reading) stuck.insert(turn->path_);
    std::string paths;
    for (const std::string& path : stuck) paths += (paths.empty() ? "" : ", ") + path;
    throw Error(
        ErrorCode::io,
        concat(path_, ": not opened: ", kMaxReading, " threads still wait for files that do not answer: ", paths),
        "Check the mounts that these files lie on. Load again when they answer, or restart the process.");
  }
  reading.push_back(this);
  is_reading_ = true;
}

void FileTurn::end() {
  auto& [mutex, changed, reading] = shared();
  const std::lock_guard lock(mutex);
  std::erase(reading, this);
  is_reading_ = false;
  changed.notify_all();
}

bool FileTurn::give_up() {
  auto& [mutex, changed, reading] = shared();
  const std::lock_guard lock(mutex);
  is_given_up_ = true;
  changed.notify_all();
  return is_reading_;
}

void FileTurn::throw_if_given_up() const {
  const std::lock_guard lock(shared().mutex);
  if (is_given_up_) throw given_up_error();
}

}  // namespace grok::napi
