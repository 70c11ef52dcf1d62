#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/error.h"

namespace grok::runtime {

// Settings that together make a model fit in memory. Settings without a value do not change.
struct MemoryFit {
  std::optional<int> max_sequences = {};
  std::optional<int> prefill_chunk = {};
  std::optional<int> context_length = {};
  std::optional<int> num_layers = {};  // of synthetic weights
  std::optional<KvCacheType> kv_cache_type = {};
  std::optional<WeightStorage> weights = {};
  std::optional<std::uint64_t> memory_limit = {};
};

// A model does not fit. Each of `fits` would be sufficient. The callers of the engine put them into words, because only
// they know the names of their users' options.
struct MemoryError : Error {
  explicit MemoryError(const std::string& message) : Error(ErrorCode::out_of_memory, message) {}

  std::vector<MemoryFit> fits;
  std::uint64_t needed_bytes = 0;
  std::uint64_t available_bytes = 0;
  std::string memory_name;  // "memory", "GPU memory"
};

}  // namespace grok::runtime
