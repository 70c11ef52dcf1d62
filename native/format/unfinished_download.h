#pragma once

#include <string_view>

namespace grok::format {

// Whether a file called `name` shows that a download of the file `wanted` is unfinished: "tensor00000_000.part".
bool is_unfinished_download(std::string_view name, std::string_view wanted);

}  // namespace grok::format
