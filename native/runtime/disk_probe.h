#pragma once

#include <atomic>
#include <optional>
#include <string>

namespace grok::runtime {

// Measures how fast one thread reads from the disk of `folder`, in GB/s, past the page cache. Writes and reads an
// anonymous file of at most 256 MiB, for at most about four seconds. None if the folder does not support such a file or
// has no space. Throws cancelled soon after `stopped` is set.
std::optional<double> probe_disk(const std::string& folder, const std::atomic<bool>& stopped);

}  // namespace grok::runtime
