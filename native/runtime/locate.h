#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace grok::runtime {

enum class Format { jax, safetensors };

// The place of a checkpoint's files.
struct Location {
  std::filesystem::path tensors;  // a directory, or one .safetensors file
  Format format;
  std::vector<std::filesystem::path> folders;  // where a config.json may lie, the nearest first
  std::vector<std::filesystem::path> above;    // where a tokenizer.model may lie besides

  // The file of that name in the first folder that has one; else empty. Throws for a link to a missing file.
  std::filesystem::path find(const char* name) const;
  std::filesystem::path find_tokenizer() const;
};

// Looks for tensors at `path`, in its folder ckpt-0, and else in the folders below it, which must hold one checkpoint.
// Throws not_found, io, unsupported, invalid_argument.
Location locate(const std::string& path);

}  // namespace grok::runtime
