#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/tensor.h"

namespace grok::format {

// Contents of one file of a ckpt-0 directory: a bare array, or a QuantizedWeight8bit.
struct PickledTensor {
  TensorView weight;
  std::optional<TensorView> scales;
};

// Reads the framing of a ckpt-0 pickle and locates its numbers without reading them.
//
// Pickle is a program that builds objects, and Python executes every function that it names. This reader executes
// nothing. It knows the few instructions and the five names of xAI's files, with their variants of numpy 1 and 2 and of
// protocols 3 to 5. It represents arrays, dtypes, tuples and one dict by its own types, and refuses everything else
// with file, offset and instruction. Its memory is bounded for any input. Format: docs/CHECKPOINT.md.
//
// Throws bad_checkpoint, and unsupported for sound arrays of another kind (Fortran order, big-endian, other dtypes).
// `file` appears in messages.
PickledTensor read_pickle(const ByteSource& source, std::uint64_t size_bytes, const std::string& file);

}  // namespace grok::format
