#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "format/tensor_source.h"

namespace grok::format {

// Opens a .safetensors file, or a directory with model.safetensors or with model.safetensors.index.json and its shards.
//
// Names are those of ckpt-0. A quantised matrix `N` is stored as the pair `N` (or `N.weight`, `N/weight`), I8, and
// `N.scales` (or `N/scales`), BF16, in the shapes of ckpt-0. Other tensors are F32.
//
// As strict as the reference implementation. A header has at most 100 MB, offsets cover the data without holes or
// overlap, and every size equals that of its shape.
// Source: huggingface/safetensors, safetensors/src/tensor.rs
std::unique_ptr<TensorSource> open_safetensors(const std::string& path);

// Whether a file of that name is read as safetensors.
bool is_safetensors_name(std::string_view name);

// Whether a directory with these file names is a safetensors checkpoint, complete or not.
bool has_safetensors(const std::vector<std::string>& names);

}  // namespace grok::format
