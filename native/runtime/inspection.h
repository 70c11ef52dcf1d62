#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "model/config.h"
#include "model/generation_config.h"
#include "runtime/memory_plan.h"
#include "runtime/model_plan.h"
#include "runtime/options.h"

namespace grok::runtime {

struct TensorInfo {
  std::string name, file, dtype;
  Shape shape;
  Shape scales_shape;  // empty: not quantised
  std::uint64_t size_bytes = 0;
};

// Description of a checkpoint, from its headers.
struct Inspection {
  std::string path;         // directory or file of the tensors
  std::string format;       // "ckpt-0 (770 files)"
  std::string config_from;  // "config.json" or "built in (Grok-1)"
  std::string tokenizer;    // path of the tokenizer.model beside it, or empty
  model::GrokConfig config;
  model::GenerationConfig generation = {};
  std::vector<TensorInfo> tensors;
  std::uint64_t file_bytes = 0;
  std::uint64_t num_parameters = 0;          // scales not counted
  std::uint64_t num_active_parameters = 0;   // used for one token
  std::uint64_t weight_bytes_per_token = 0;  // in the backend's layout; read to decode one token by itself
  MemoryPlan memory;
  std::string device;    // "cpu" or "cuda": the device that a load would choose
  std::string why_cpu;   // reason why device "auto" became the CPU; empty: the device was named, or is a GPU
  bool is_plan = false;  // the known shapes of Grok-1; no file was read
};

// The path that denotes Grok-1 before its files are downloaded.
inline constexpr const char* kPlannedPath = "grok-1";

Inspection inspection_of(const ModelPlan& plan, const Footprint& footprint);

// Reads headers only, and needs no device: without one, the plan states the memory that it would need. kPlannedPath is
// Grok-1 by its known shapes, unless a file or directory has that name. Throws not_found, io, bad_checkpoint,
// unsupported, invalid_argument, and cuda_unavailable if the build has no CUDA backend.
Inspection inspect(const std::string& path, const EngineOptions& options);

}  // namespace grok::runtime
