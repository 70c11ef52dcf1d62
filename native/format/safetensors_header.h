#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace grok::format {

struct SafetensorsEntry {
  std::string name;
  TensorView view;
  std::uint64_t begin = 0;  // offset in the data
  std::uint64_t end = 0;
};

// Reads the header of a .safetensors file and checks that its tensors cover the rest of the file, without reading them.
// The entries are in the order of the data. `label` appears in messages. Throws bad_checkpoint, unsupported (dtypes).
std::vector<SafetensorsEntry> read_safetensors_header(const ByteSource& file, std::uint64_t size_bytes,
                                                      const std::string& label);

}  // namespace grok::format
