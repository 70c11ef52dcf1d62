#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "backend/backend.h"
#include "model/weights.h"
#include "runtime/checkpoint.h"
#include "runtime/limits.h"
#include "runtime/memory_plan.h"
#include "runtime/options.h"

namespace grok::runtime {

// A checkpoint that was opened and bound once, with its limits and memory, before a backend exists. Every rank reads
// this plan.
struct ModelPlan {
  Checkpoint checkpoint;
  EngineOptions options;  // with the device named
  std::string why_cpu;    // reason why device "auto" became the CPU; empty: the device was named, or is a GPU
  Limits limits;
  model::BoundNetwork network;  // views of checkpoint.source
  MemoryPlan memory;            // as computed by plan_memory
};

// Chooses the device and plans its memory, even if the model does not fit. "auto" is a GPU if there is one that the
// model fits. It is the CPU if an option works only there, or if the model is so small that the CPU finishes before a
// GPU has started. Throws bad_checkpoint, invalid_argument, and cuda_unavailable if the build has no CUDA backend.
ModelPlan plan_model(Checkpoint checkpoint, const EngineOptions& options);

// Binds the checkpoint to its network without planning memory.
ModelPlan bind_model(Checkpoint checkpoint, const EngineOptions& options, Limits limits);

// Plans the memory again, for another device or for the memory that is free now.
void plan_memory(ModelPlan& plan, const Footprint& footprint, std::optional<std::uint64_t> available);

// Throws a MemoryError if the memory planned for `footprint` does not fit.
void require_fit(const ModelPlan& plan, const Footprint& footprint);

}  // namespace grok::runtime
