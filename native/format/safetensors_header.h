#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace grok::format {

struct SafetensorsEntry {
  std::string name;
  TensorView view;
  std::uint64_t begin = 0;  // bytes into the data
  std::uint64_t end = 0;
};

// Reads the header of a .safetensors file and checks that its tensors cover the rest of the file; it reads none of them.
// The entries come in the order of the data. `label` stands in messages. Throws bad_checkpoint, unsupported (dtypes).
std::vector<SafetensorsEntry> read_safetensors_header(const ByteSource& file, std::uint64_t size_bytes,
                                                      const std::string& label);

}  // namespace grok::format
