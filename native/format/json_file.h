#pragma once

#include <cstddef>
#include <string>

namespace grok::format {

// The text of a JSON file that programs on other systems may have written: without the byte order mark of UTF-8. Throws
// bad_checkpoint for a file of another kind, such as a web page saved under its name.
std::string read_json_file(const std::string& path, std::size_t max_bytes);

}  // namespace grok::format
