#pragma once

#include <atomic>
#include <optional>
#include <string>

namespace grok {

// How fast one reader gets data from the disk of `folder`, in GB/s, past the page cache: from a file without a name, of at
// most 256 MiB, that is written first and gone afterwards. Takes at most some four seconds. None where the folder takes no
// such file or has no room. Throws cancelled soon after `stopped` is set.
std::optional<double> probe_disk(const std::string& folder, const std::atomic<bool>& stopped);

}  // namespace grok
