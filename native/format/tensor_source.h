#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace grok::format {

// One leaf of xAI's parameter tree, stored in a file. `name` is JAX's path with the parameter's own name last, such as
// "transformer/decoder_layer_3/moe/linear/w". Quantised leaves have scales.
struct StoredParameter {
  std::string name;
  std::string file;  // for messages: "ckpt-0/tensor00026_000"
  TensorView weight;
  std::optional<TensorView> scales;
};

// An opened checkpoint: every header was read and checked against the size of its file; no weight was read. Owns the
// files.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  virtual const std::vector<StoredParameter>& parameters() const = 0;
  virtual std::uint64_t size_bytes() const = 0;  // of all files
  virtual std::string description() const = 0;   // shown to people: "ckpt-0 (38 files)"

  // Null if there is no parameter of that name.
  const StoredParameter* find(const std::string& name) const {
    for (const StoredParameter& parameter : parameters())
      if (parameter.name == name) return &parameter;
    return nullptr;
  }
};

}  // namespace grok::format
