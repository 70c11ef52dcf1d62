#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace grok::runtime {

enum class Format { jax, safetensors };

// The location of a checkpoint's files.
struct Location {
  std::filesystem::path tensors;  // a directory, or one .safetensors file
  Format format;
  std::vector<std::filesystem::path> folders;  // possible places of config.json, the nearest first
  std::vector<std::filesystem::path> above;    // further possible places of tokenizer.model

  // The file of that name in the first folder that has one, or empty. Throws for a link to a missing file.
  std::filesystem::path find(const char* name) const;
  std::filesystem::path find_tokenizer() const;
};

// Searches for tensors at `path`, then in its folder ckpt-0, then in the folders below it, which must hold one
// checkpoint. Throws not_found, io, unsupported, invalid_argument.
Location locate(const std::string& path);

}  // namespace grok::runtime
