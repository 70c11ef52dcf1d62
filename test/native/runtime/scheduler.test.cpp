#include "runtime/scheduler.h"

#include "testing.h"

namespace grok::runtime {
namespace {

constexpr Candidate kDecoding{.holds_cache = true};

Candidate prefilling(int prompt_left) { return {.holds_cache = true, .prompt_left = prompt_left}; }
Candidate waiting(int pages_needed, int prompt_left) {
  return {.pages_needed = pages_needed, .prompt_left = prompt_left};
}
Candidate scoring(int prompt_left) { return {.holds_cache = true, .prompt_left = prompt_left, .every_output = true}; }

constexpr StepRoom kRoom{.prompt_tokens = 100, .outputs = 8, .free_pages = 10, .free_slots = 4};

void check_shares(const std::vector<Candidate>& candidates, StepRoom room, const std::vector<int>& expected) {
  const std::vector<int> found = schedule(candidates, room);
  CHECK_EQ(found.size(), expected.size());
  for (std::size_t index = 0; index < expected.size(); ++index)
    if (found[index] != expected[index])
      testing::fail(__FILE__, __LINE__,
                    concat("candidate ", index, " got ", found[index], " tokens, expected ", expected[index]));
}

TEST("nobody gets nothing") { check_shares({}, kRoom, {}); }

TEST("nothing is admitted where the cache has no room for it") {
  StepRoom room = kRoom;
  room.free_pages = 2;
  check_shares({waiting(3, 5)}, room, {0});
  room.free_pages = 3;
  check_shares({waiting(3, 5)}, room, {5});
}

TEST("nothing is admitted where all slots are taken") {
  StepRoom room = kRoom;
  room.free_slots = 1;
  check_shares({waiting(1, 5), waiting(1, 5)}, room, {5, 0});
}

TEST("a small sequence does not overtake a large one that waits for room") {
  check_shares({waiting(11, 5), waiting(1, 5)}, kRoom, {0, 0});
}

TEST("one that waits for room does not hold up a younger one that has it") {
  check_shares({waiting(11, 5), prefilling(7), kDecoding}, kRoom, {0, 7, 1});
}

TEST("pages are counted down as they are given out") { check_shares({waiting(6, 5), waiting(5, 5)}, kRoom, {5, 0}); }

TEST("a prompt longer than a chunk gets a chunk, and the next prompt waits its turn") {
  check_shares({prefilling(150), prefilling(10)}, kRoom, {100, 0});
  check_shares({prefilling(50), prefilling(60)}, kRoom, {50, 50});
}

TEST("a sequence that would get no token is not admitted, nor is any after it") {
  check_shares({prefilling(100), waiting(1, 5), waiting(1, 5)}, kRoom, {100, 0, 0});
}

TEST("those that decode go first, however old the prompts before them") {
  check_shares({prefilling(500), kDecoding, kDecoding}, kRoom, {100, 1, 1});
}

TEST("a prompt whose every output is wanted gets no more tokens than there are output rows") {
  check_shares({scoring(50)}, kRoom, {8});
  check_shares({scoring(50), kDecoding, kDecoding}, kRoom, {6, 1, 1});
}

TEST("the last token of a prompt waits for an output row") {
  check_shares({scoring(50), prefilling(10), prefilling(1)}, kRoom, {8, 9, 0});
  check_shares({scoring(7), prefilling(10), prefilling(10)}, kRoom, {7, 10, 9});
}

TEST("a sequence that gets no output row is not admitted, nor is any after it") {
  check_shares({scoring(8), waiting(1, 1), waiting(1, 5)}, kRoom, {8, 0, 0});
}

TEST("prompts and decoding share a step") {
  check_shares({kDecoding, prefilling(30), kDecoding, waiting(2, 20)}, kRoom, {1, 30, 1, 20});
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
