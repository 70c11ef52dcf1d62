#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "backend/cuda/stream.h"

namespace grok::cuda {

// What the launches of a step depend on. All else that differs from step to step (tokens, positions, pages, who chose which
// expert) lies in memory.
struct StepShape {
  int num_tokens = 0;
  int num_outputs = 0;
  int max_pages = 0;      // of a row of the page table, rounded up
  int num_positions = 0;  // of the longest sequence, rounded up

  auto operator<=>(const StepShape&) const = default;
};

// Where the backend's own memory lies. It moves when it grows, which it does not in a step like the one before.
struct StepMemory {
  const void* batch = nullptr;
  const void* scratch = nullptr;
  const void* kept = nullptr;
  const void* rotation = nullptr;

  auto operator<=>(const StepMemory&) const = default;
};

// Steps as CUDA graphs. A step is recorded when its shape comes a second time in a row, which pieces of prompts seldom do,
// and replayed from then on: one launch for the thousand of a step.
class StepGraphs {
 public:
  // Does what `ask` asks the stream for, or did when it was recorded. `is_small`: worth recording.
  void run(const StepShape& shape, const StepMemory& memory, bool is_small, Stream& stream,
           const std::function<void()>& ask);
  // Memory that a step may read is about to change hands.
  void forget() { steps_.clear(); }

  int num_recorded() const { return num_recorded_; }
  int num_replayed() const { return num_replayed_; }
  // Why the last step was not replayed, in words; empty: it was.
  const std::string& why_not() const { return why_not_; }

 private:
  static constexpr std::size_t kMostSteps = 16;  // kept: a few numbers of sequences at a few lengths

  struct Step {
    std::unique_ptr<Recording> recording;  // null: could not be recorded
    std::string why_not;
    std::uint64_t last_use = 0;
  };
  Step record(Stream& stream, const std::function<void()>& ask);

  std::map<std::pair<StepShape, StepMemory>, Step> steps_;
  StepShape last_shape_;
  std::uint64_t num_uses_ = 0;
  int num_recorded_ = 0, num_replayed_ = 0;
  std::string why_not_;
};

}  // namespace grok::cuda
