#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/tensor.h"

namespace grok::format {

// What one file of a ckpt-0 directory holds: a bare array, or a QuantizedWeight8bit.
struct PickledTensor {
  TensorView weight;
  std::optional<TensorView> scales;
};

// Reads the framing of a ckpt-0 pickle and finds where its numbers lie; it reads none of them.
//
// Pickle is a program that builds objects, and Python runs whatever it names. This reader runs nothing: it knows the
// few instructions and the five names that occur in xAI's files (and their other spellings by numpy 1 and 2 and by
// protocols 3 to 5), builds arrays, dtypes, tuples and one dict in its own terms, and refuses all else with file,
// offset and instruction. Its memory is bounded whatever the file declares. Format: docs/CHECKPOINT.md.
//
// Throws bad_checkpoint, and unsupported for arrays that are sound but of another kind (Fortran order, big-endian,
// other dtypes). `file` stands in messages.
PickledTensor read_pickle(const ByteSource& source, std::uint64_t size_bytes, const std::string& file);

}  // namespace grok::format
