#include "runtime/tokenizer_file.h"

#include <algorithm>

#include "platform/file.h"

namespace grok::runtime {

TokenizerFile read_tokenizer_file(const std::string& path, std::size_t max_bytes) {
  const platform::InputFile file(path);
  TokenizerFile found;
  // One byte more reveals that the file has grown since.
  if (file.size_bytes() <= max_bytes) found.bytes = file.read(max_bytes + 1);
  found.size_bytes = std::max<std::uint64_t>(file.size_bytes(), found.bytes.size());
  if (found.size_bytes <= max_bytes) found.mistake = format::recognize(found.bytes, format::Expected::tokenizer);
  return found;
}

}  // namespace grok::runtime
