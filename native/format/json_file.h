#pragma once

#include <cstddef>
#include <string>

namespace grok::format {

// Reads the text of a JSON file, without UTF-8's byte order mark, which some programs write. Throws bad_checkpoint for
// a file of another kind, such as a web page saved under its name.
std::string read_json_file(const std::string& path, std::size_t max_bytes);

}  // namespace grok::format
