#include "runtime/sequence.h"

#include <set>

#include "testing.h"

namespace grok::runtime {
namespace {

TEST("draws lie in [0, 1), are repeatable, and differ by seed and by place") {
  std::set<float> draws;
  double sum = 0;
  constexpr int kDraws = 1000;
  for (const std::uint64_t seed : {std::uint64_t(0), std::uint64_t(1), ~std::uint64_t(0)})
    for (int index = 0; index < kDraws; ++index) {
      const float draw = uniform_draw(seed, index);
      CHECK(draw >= 0 && draw < 1);
      CHECK_EQ(draw, uniform_draw(seed, index));
      draws.insert(draw);
      sum += double(draw);
    }
  CHECK(draws.size() > 3 * kDraws - 10);      // 3000 of 2^24 values: a repetition or two can happen
  CHECK_NEAR(sum / (3 * kDraws), 0.5, 0.02);  // four standard deviations of the mean of 3000 uniform draws
}

TEST("the largest draw stays below one") {
  // The top 24 bits all set: what the conversion must not round up.
  CHECK(float(0xFFFFFFu) * 0x1p-24f < 1);
}

TEST("draws of neighbouring seeds are not each other's, shifted") {
  for (int shift = -2; shift <= 2; ++shift) {
    int same = 0;
    for (int index = 2; index < 100; ++index) same += uniform_draw(7, index) == uniform_draw(8, index + shift);
    CHECK_EQ(same, 0);
  }
}

TEST("the history counts each token once, however often the prompt has it") {
  const std::vector<std::int32_t> prompt = {5, 3, 5};
  TokenHistory history(prompt);
  CHECK_EQ(history.counts().size(), 2u);
  history.add_generated(5);
  history.add_generated(9);
  history.add_generated(9);
  CHECK_EQ(history.counts().size(), 3u);
  CHECK_EQ(history.counts()[0].token, 5);
  CHECK_EQ(history.counts()[0].generated, 1);
  CHECK_EQ(history.counts()[1].generated, 0);
  CHECK_EQ(history.counts()[2].token, 9);
  CHECK_EQ(history.counts()[2].generated, 2);
}

TEST("a history exists only if a penalty needs it") {
  CHECK(!Sequence({.prompt = {1}}).history.has_value());
  SequenceRequest request{.prompt = {1}};
  request.sampling.frequency_penalty = 0.5f;
  CHECK(Sequence(request).history.has_value());
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
