#pragma once

#include <atomic>
#include <optional>
#include <string>

namespace grok::runtime {

// Measures how fast one thread reads from the disk of `folder`, in GB/s, past the page cache. Writes and reads a file
// without a name, of at most 256 MiB, for at most some four seconds. None if the folder takes no such file or has no room.
// Throws cancelled soon after `stopped` is set.
std::optional<double> probe_disk(const std::string& folder, const std::atomic<bool>& stopped);

}  // namespace grok::runtime
