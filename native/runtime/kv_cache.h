#pragma once

#include <cstdint>
#include <vector>

#include "backend/backend.h"
#include "model/config.h"

namespace grok::runtime {

// Bytes of one page in all layers, keys and values.
std::uint64_t page_bytes(const Footprint& footprint, const model::GrokConfig& config, KvCacheType type);

// Memory of the pages of a PagePool, on one device.
class KvCache {
 public:
  KvCache(Backend& backend, const model::GrokConfig& config, KvCacheType type, int num_pages);

  const std::vector<KvPages>& layers() const { return layers_; }  // [num_layers]

 private:
  std::vector<BufferPtr> buffers_;
  std::vector<KvPages> layers_;
};

}  // namespace grok::runtime
