#include "platform/pages.h"

#include <cstdint>
#include <limits>

#include "testing.h"

using namespace grok::platform;

TEST("is null for no bytes, and where the system refuses") {
  CHECK(!Pages(0).data());
  CHECK(!Pages(std::numeric_limits<std::size_t>::max() / 4).data());
}

TEST("begins with a page, and large amounts with a page of 2 MiB") {
  CHECK_EQ(reinterpret_cast<std::uintptr_t>(Pages(1).data()) % 4096, 0u);
  CHECK_EQ(reinterpret_cast<std::uintptr_t>(Pages(std::size_t(1) << 20).data()) % (std::uintptr_t(2) << 20), 0u);
}

TEST_MAIN()
