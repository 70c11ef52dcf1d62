#include "backend/cuda/step_graphs.h"

#include <algorithm>

namespace grok::cuda {

void StepGraphs::run(const StepShape& shape, const StepMemory& memory, bool is_small, Stream& stream,
                     const std::function<void()>& body) {
  const std::pair key(shape, memory);
  const bool is_repeated = shape == last_shape_;
  last_shape_ = shape;
  auto found = steps_.find(key);
  if (found == steps_.end() && is_small && is_repeated) {
    if (steps_.size() == kMostSteps)
      steps_.erase(std::min_element(steps_.begin(), steps_.end(), [](const auto& a, const auto& b) {
        return a.second.last_use < b.second.last_use;
      }));
    found = steps_.emplace(key, capture(stream, body)).first;
  }
  if (found != steps_.end()) {
    Step& step = found->second;
    step.last_use = ++num_uses_;
    why_not_ = step.why_not;
    if (step.graph) {
      stream.replay(*step.graph);
      ++num_replayed_;
      return;
    }
  } else {
    why_not_ = is_small ? "first step of this shape" : "batch too large: launch overhead is negligible";
  }
  body();
}

StepGraphs::Step StepGraphs::capture(Stream& stream, const std::function<void()>& body) {
  try {
    Step step{.graph = stream.capture(body), .why_not = "", .last_use = 0};
    ++num_captured_;
    return step;
  } catch (const Error& error) {
    if (error.code == ErrorCode::cancelled) throw;
    // if the step fails without a graph, too, it reports that itself
    return {.graph = nullptr, .why_not = error.what(), .last_use = 0};
  }
}

}  // namespace grok::cuda
