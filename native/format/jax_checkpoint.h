#pragma once

#include <memory>
#include <string>
#include <vector>

#include "format/tensor_source.h"

namespace grok::format {

// Whether a directory with these file names is a ckpt-0 checkpoint, complete or not.
bool has_jax_tensors(const std::vector<std::string>& names);

// Opens xAI's checkpoint as released: file tensor<i>_000 is the pickle of the leaf names[i]. One error lists every file
// that is missing, unexpected, unfinished or damaged. Source: xai-org/grok-1 checkpoint.py:load_tensors
std::unique_ptr<TensorSource> open_jax_checkpoint(const std::string& directory, const std::vector<std::string>& names);

}  // namespace grok::format
