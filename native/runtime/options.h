#pragma once

#include <cstdint>
#include <string>

namespace grok::runtime {

// How a model is opened.
struct EngineOptions {
  std::string device = "auto";        // "auto", "cpu", "cuda"
  int num_threads = 0;                // 0: as many as the process may use
  std::string isa = {};               // "": the best
  int context_length = 0;             // tokens a sequence may have; 0: the model's
  int max_sequences = 0;              // sequences that hold cache at once; 0: 4
  int prefill_chunk = 0;              // prompt tokens one step takes at most; 0: 512
  std::string kv_cache_type = "f32";  // "f32", "bf16", "int8"
  std::string weights = "packed";     // "packed", "mapped": backend.h, WeightStorage
  std::uint64_t memory_limit = 0;     // bytes; 0: what the device has available
};

}  // namespace grok::runtime
