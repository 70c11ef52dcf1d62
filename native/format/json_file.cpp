#include "format/json_file.h"

#include <string_view>

#include "core/error.h"
#include "format/file_kind.h"
#include "platform/file.h"

namespace grok::format {

std::string read_json_file(const std::string& path, std::size_t max_bytes) {
  std::string text = platform::InputFile(path).read_all(max_bytes);
  if (const auto kind = recognize(text, Expected::json))
    throw Error(ErrorCode::bad_checkpoint, concat(path, ": expected JSON, found ", kind->name), kind->fix);
  constexpr std::string_view kUtf8Mark = "\xef\xbb\xbf";
  if (text.starts_with(kUtf8Mark)) text.erase(0, kUtf8Mark.size());
  return text;
}

}  // namespace grok::format
