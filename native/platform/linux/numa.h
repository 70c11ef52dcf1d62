#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace grok::platform {

// The numbers in a list as Linux writes them: "0-1,4" is {0, 1, 4}. Empty when it is not one.
std::vector<int> parse_node_list(const std::string& text);

// On a machine with several memory nodes, spreads pages that were not touched yet over all of them, page by page: every
// thread reads weights at the speed of all nodes together, wherever it runs. On others, and where the system refuses,
// nothing happens.
void interleave_over_nodes(void* data, std::size_t size_bytes);

}  // namespace grok::platform
