#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace grok::format {

enum class Expected { json, pickle, safetensors, tokenizer };

// Bytes from the start of a file that recognize() needs.
constexpr std::size_t kFileHeadBytes = 4096;

struct FileKind {
  std::string name;  // with its article: "a web page (HTML)"
  const char* fix;
};

// Recognizes another kind of file in place of the expected one, from its first bytes. None: the bytes may be of the
// expected kind, or of an unknown one.
std::optional<FileKind> recognize(std::string_view head, Expected expected);

}  // namespace grok::format
