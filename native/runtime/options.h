#pragma once

#include <cstdint>
#include <string>

namespace grok::runtime {

// Options of opening a model.
struct EngineOptions {
  std::string device = "auto";        // "auto", "cpu", "cuda"
  int num_threads = 0;                // 0: one for each usable core
  std::string isa = {};               // "": the best
  int context_length = 0;             // maximum tokens of a sequence; 0: the model's
  int max_sequences = 0;              // sequences that hold cache at once; 0: 4
  int prefill_chunk = 0;              // maximum prompt tokens of a step; 0: 512
  std::string kv_cache_type = "f32";  // "f32", "bf16", "int8"
  std::string weights = "packed";     // "packed", "mapped": backend.h, WeightStorage
  bool prefix_cache = true;           // sequences share the pages of equal first tokens
  std::uint64_t memory_limit = 0;     // bytes; 0: the free memory of the device
};

}  // namespace grok::runtime
