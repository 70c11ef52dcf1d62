#include "support/not_finite.h"

#include "backend/cpu/cpu.h"

using namespace grok;
using namespace grok::testing;

TEST("a weight that is not finite is refused with its name and place, packed and mapped") {
  for (const WeightStorage weights : {WeightStorage::packed, WeightStorage::mapped})
    check_refused_at_load([&] { return cpu::make_backend({.num_threads = 2, .weights = weights}); });
}

TEST("a sequence that overflows ends alone and says where, on every instruction set and with every cache") {
  for (const std::string& isa : cpu::usable_isas())
    check_overflow_is_told([&] { return cpu::make_backend({.num_threads = 2, .isa = isa}); });
}

TEST_MAIN()
