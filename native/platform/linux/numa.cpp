#include "platform/linux/numa.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <climits>
#include <fstream>

namespace grok::platform {

std::vector<int> parse_node_list(const std::string& text) {
  constexpr int kMostNodes = 1024;
  std::vector<int> nodes;
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto number = [&](int& value) {
    const auto [next, error] = std::from_chars(at, end, value);
    at = next;
    return error == std::errc() && value >= 0 && value < kMostNodes;
  };
  while (at < end) {
    int first, last;
    if (!number(first)) return {};
    last = first;
    if (at < end && *at == '-') {
      ++at;
      if (!number(last) || last < first) return {};
    }
    for (int node = first; node <= last; ++node) nodes.push_back(node);
    if (at < end && *at++ != ',') return {};
  }
  return nodes;
}

namespace {

// Nodes with memory.
const std::vector<int>& memory_nodes() {
  static const std::vector<int> nodes = [] {
    std::string text;
    std::ifstream("/sys/devices/system/node/has_memory") >> text;
    return parse_node_list(text);
  }();
  return nodes;
}

}  // namespace

void interleave_over_nodes(void* data, std::size_t size_bytes) {
  if (memory_nodes().size() < 2) return;
  constexpr int kInterleave = 3;  // Source: linux/mempolicy.h, MPOL_INTERLEAVE
  constexpr std::size_t kBits = sizeof(unsigned long) * CHAR_BIT;
  std::vector<unsigned long> mask(std::size_t(memory_nodes().back()) / kBits + 1);
  for (const int node : memory_nodes()) mask[node / kBits] |= 1ul << (node % kBits);
  syscall(SYS_mbind, data, size_bytes, kInterleave, mask.data(), mask.size() * kBits + 1, 0);
}

}  // namespace grok::platform
