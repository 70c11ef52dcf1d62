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

// Values that determine the launches of a step. All other differences between steps (tokens, positions, pages, chosen
// experts) lie in memory.
struct StepShape {
  int num_tokens = 0;
  int num_outputs = 0;
  int max_pages = 0;      // per row of the page table, rounded up
  int num_positions = 0;  // of the longest sequence, rounded up

  auto operator<=>(const StepShape&) const = default;
};

// Addresses of the backend's own memory. They change only when memory grows, which does not happen in a step of the
// same shape.
struct StepMemory {
  const void* batch = nullptr;
  const void* scratch = nullptr;
  const void* rotation = nullptr;

  auto operator<=>(const StepMemory&) const = default;
};

// Steps as CUDA graphs. A step is captured when its shape occurs twice in a row, which is rare for pieces of prompts,
// and replayed from then on: one launch instead of a thousand.
class StepGraphs {
 public:
  // Runs `body`, or replays its capture. `is_small`: worth a capture.
  void run(const StepShape& shape, const StepMemory& memory, bool is_small, Stream& stream,
           const std::function<void()>& body);
  // Memory that captured steps read is about to be freed or reused.
  void forget() { steps_.clear(); }

  int num_captured() const { return num_captured_; }
  int num_replayed() const { return num_replayed_; }
  // Why the last step was not replayed; empty if it was.
  const std::string& why_not() const { return why_not_; }

 private:
  static constexpr std::size_t kMostSteps = 16;  // a few numbers of sequences at a few lengths

  struct Step {
    std::unique_ptr<GraphExec> graph;  // null: the capture failed
    std::string why_not;
    std::uint64_t last_use = 0;
  };
  Step capture(Stream& stream, const std::function<void()>& body);

  std::map<std::pair<StepShape, StepMemory>, Step> steps_;
  StepShape last_shape_;
  std::uint64_t num_uses_ = 0;
  int num_captured_ = 0, num_replayed_ = 0;
  std::string why_not_;
};

}  // namespace grok::cuda
