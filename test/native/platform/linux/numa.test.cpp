#include "platform/linux/numa.h"

#include <cstring>

#include "platform/pages.h"
#include "testing.h"

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
  constexpr std::size_t kSizeBytes = std::size_t(5) << 20;
  const Pages pages(kSizeBytes);
  std::byte* const bytes = pages.data();
  for (std::size_t i = 0; i < kSizeBytes; i += 4096) CHECK_EQ(int(bytes[i]), 0);
  std::memset(bytes, 7, kSizeBytes);
  interleave_over_nodes(bytes, kSizeBytes);  // pages that were touched stay as they are
  for (std::size_t i = 0; i < kSizeBytes; i += 4096) CHECK_EQ(int(bytes[i]), 7);
}

TEST_MAIN()
