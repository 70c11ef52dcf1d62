#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace grok::platform {

// Parses a list in Linux's notation: "0-1,4" is {0, 1, 4}. Empty if it is malformed.
std::vector<int> parse_node_list(const std::string& text);

// On a machine with several memory nodes, spreads untouched pages over all of them, page by page. So every thread reads
// weights at the combined speed of all nodes. Does nothing on other machines, or if the system refuses.
void interleave_over_nodes(void* data, std::size_t size_bytes);

}  // namespace grok::platform
