#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "format/file_kind.h"

namespace grok::runtime {

// The bytes of a tokenizer.model, which JavaScript parses.
struct TokenizerFile {
  std::string bytes;  // empty if the file is too large
  std::uint64_t size_bytes = 0;
  std::optional<format::FileKind> mistake;  // set if a file of another kind has its name
};

// Throws not_found, io, invalid_argument.
TokenizerFile read_tokenizer_file(const std::string& path, std::size_t max_bytes);

}  // namespace grok::runtime
