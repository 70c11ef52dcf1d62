#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

namespace grok::format {

// Shard of every tensor, by name. A shard is the name of a .safetensors file, without a directory.
using SafetensorsIndex = std::unordered_map<std::string, std::string>;

// Reads a model.safetensors.index.json. Throws not_found, io, bad_checkpoint.
SafetensorsIndex read_safetensors_index(const std::string& path);

// Parses the text of such a file. `path` appears in messages.
SafetensorsIndex parse_safetensors_index(std::string_view text, const std::string& path);

}  // namespace grok::format
