#include "platform/linux/numa.h"

#include <cstring>

#include "backend/cpu/host_memory.h"
#include "testing.h"

using namespace grok;
using namespace grok::platform;

TEST("what is no list of nodes is none") {
  for (const char* text : {"", "x", "0-", "-1", "1-0", "0,,1", "0 1", "0-99999999999", "5000"})
    CHECK(parse_node_list(text).empty());
}

TEST("lists of nodes are numbers and ranges") {
  CHECK((parse_node_list("0") == std::vector{0}));
  CHECK((parse_node_list("0-3") == std::vector{0, 1, 2, 3}));
  CHECK((parse_node_list("0,2-3,8") == std::vector{0, 2, 3, 8}));
}

TEST("memory is there and zero, however many nodes the machine has") {
  const HostMemory memory(std::size_t(5) << 20);
  auto* const bytes = memory.as<unsigned char>();
  for (std::size_t i = 0; i < memory.size_bytes(); i += 4096) CHECK_EQ(int(bytes[i]), 0);
  std::memset(bytes, 7, memory.size_bytes());
  interleave_over_nodes(bytes, memory.size_bytes());  // pages that were touched stay as they are
  for (std::size_t i = 0; i < memory.size_bytes(); i += 4096) CHECK_EQ(int(bytes[i]), 7);
}

TEST_MAIN()
