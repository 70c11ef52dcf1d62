#pragma once

#include <string>
#include <string_view>

namespace grok {

// Text from a file, made safe for a message: in quotes, truncated, and without the control characters that could
// manipulate a terminal.
inline std::string printable(std::string_view text) {
  constexpr std::size_t kMaxShown = 96;
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char character : text.substr(0, kMaxShown)) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte >= 0x20 && byte < 0x7f) {
      out += character;
    } else {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out + (text.size() > kMaxShown ? "...\"" : "\"");
}

}  // namespace grok
