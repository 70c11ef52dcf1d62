#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace grok::format {

enum class Expected { json, pickle, safetensors, tokenizer };

// Bytes from the start of a file that are enough for recognize().
constexpr std::size_t kFileHeadBytes = 4096;

struct FileKind {
  std::string name;  // with its article: "a web page (HTML)"
  const char* fix;
};

// Recognizes a file that people have by mistake in place of the expected one, from its first bytes. None: the bytes may be
// the expected kind, or are of no known one.
std::optional<FileKind> recognize(std::string_view head, Expected expected);

}  // namespace grok::format
