#include "format/unfinished_download.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

namespace grok::format {
namespace {

// Endings in lower case. The first two belong to aria2 and axel, which write to the file itself and store their state
// beside it. The others belong to browsers, rclone, WinSCP, gsutil, the Hugging Face client and BitTorrent clients.
constexpr std::array<std::string_view, 20> kMarkers = {
    ".aria2",       ".st",         ".part",     ".partial", ".incomplete", ".crdownload", ".download",
    ".downloading", ".opdownload", ".filepart", ".tmp",     ".temp",       ".gstmp",      ".fdmdownload",
    ".unfinished",  ".!ut",        ".!qb",      ".!bt",     ".!sync",      ".bc!"};

}  // namespace

bool is_unfinished_download(std::string_view name, std::string_view wanted) {
  if (name.size() <= wanted.size() || !name.starts_with(wanted)) return false;
  std::string rest(name.substr(wanted.size()));
  std::transform(rest.begin(), rest.end(), rest.begin(), [](unsigned char byte) { return char(std::tolower(byte)); });
  return std::any_of(kMarkers.begin(), kMarkers.end(), [&](std::string_view marker) { return rest.ends_with(marker); });
}

}  // namespace grok::format
