#include "runtime/scheduler.h"

#include "testing.h"

namespace grok::runtime {
namespace {

constexpr Candidate kDecoding{.decodes = true, .tokens_left = 1, .computable = 1};

Candidate prefilling(int tokens_left) { return {.tokens_left = tokens_left, .computable = tokens_left}; }
Candidate scoring(int tokens_left) {
  return {.tokens_left = tokens_left, .computable = tokens_left, .every_output = true};
}

constexpr StepRoom kRoom{.prompt_tokens = 100, .prompt_tokens_beside = 40, .outputs = 8};

void check_shares(const std::vector<Candidate>& candidates, StepRoom room, const std::vector<int>& expected) {
  const std::vector<int> found = schedule(candidates, room);
  CHECK_EQ(found.size(), expected.size());
  for (std::size_t index = 0; index < expected.size(); ++index)
    if (found[index] != expected[index])
      testing::fail(__FILE__, __LINE__,
                    concat("candidate ", index, " got ", found[index], " tokens, expected ", expected[index]));
}

TEST("nobody gets nothing") { check_shares({}, kRoom, {}); }

TEST("a prompt longer than a chunk gets a chunk, and the next prompt waits its turn") {
  check_shares({prefilling(150), prefilling(10)}, kRoom, {100, 0});
  check_shares({prefilling(50), prefilling(60)}, kRoom, {50, 50});
}

TEST("those that decode go first, however old the prompts before them, and prompts get less beside them") {
  check_shares({prefilling(500), kDecoding, kDecoding}, kRoom, {40, 1, 1});
}

TEST("a prompt whose every output is wanted gets no more tokens than there are output rows") {
  check_shares({scoring(50)}, kRoom, {8});
  check_shares({scoring(50), kDecoding, kDecoding}, kRoom, {6, 1, 1});
}

TEST("the last token of a prompt waits for an output row") {
  check_shares({scoring(50), prefilling(10), prefilling(1)}, kRoom, {8, 9, 0});
  check_shares({scoring(7), prefilling(10), prefilling(10)}, kRoom, {7, 10, 9});
}

TEST("prompts and decoding share a step") {
  check_shares({kDecoding, prefilling(25), kDecoding, prefilling(20)}, kRoom, {1, 25, 1, 15});
}

TEST("a sequence gets no more tokens than it can compute, and those after it go on") {
  const Candidate waiting{.tokens_left = 50, .computable = 0}, partly{.tokens_left = 50, .computable = 20};
  check_shares({waiting, partly, prefilling(30)}, kRoom, {0, 20, 30});
}

TEST("tokens that do not end a prompt need no output row") {
  const Candidate partly{.tokens_left = 50, .computable = 20};
  check_shares({scoring(50), partly}, kRoom, {8, 20});
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
