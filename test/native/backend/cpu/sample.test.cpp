#include "testing.h"

#include <algorithm>
#include <limits>

#include "backend/cpu/ops/sample.h"
#include "support/golden.h"
#include "support/made_up.h"

using namespace grok;
using namespace grok::cpu;
using namespace grok::testing;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<std::int32_t> candidates(const std::vector<float>& logits, const SampleRow& row) {
  std::vector<std::int32_t> tokens;
  for (const Candidate& candidate :
       sampling_candidates(adjusted_logits(logits, row), row.params, *usable_kernels().front()))
    tokens.push_back(candidate.token);
  return tokens;
}

struct GoldenCase {
  int number = 0, vocab = 0, kept = 0;
  double temperature = 0, top_p = 0, cut_margin = 1;
};

std::vector<GoldenCase> golden_cases() {
  std::ifstream file(golden_path("sampling/sampling.json"));
  const std::string text(std::istreambuf_iterator<char>(file), {});
  JsonReader json(text, "sampling.json");
  std::vector<GoldenCase> cases;
  json.read_array([&] {
    GoldenCase found;
    json.read_object([&](const std::string& key) {
      if (key == "case")
        found.number = int(json.read_integer());
      else if (key == "vocab")
        found.vocab = int(json.read_integer());
      else if (key == "kept")
        found.kept = int(json.read_integer());
      else if (key == "temperature")
        found.temperature = json.read_number();
      else if (key == "top_p")
        found.top_p = json.read_number();
      else if (key == "cut_margin") {
        try {
          found.cut_margin = json.read_number();
        } catch (const Error&) {
          json.skip();  // null: nothing was dropped
        }
      } else
        json.skip();
    });
    cases.push_back(found);
  });
  return cases;
}

}  // namespace

TEST("infinite logits are likelier than all others") {
  for (const SampleRow& row : {SampleRow{.params = {.temperature = 1, .top_p = 0.5f}},
                               {.params = {.temperature = 1, .top_k = 3, .top_p = 0.5f}},
                               {.params = {.temperature = 1, .min_p = 0.1f}}})
    CHECK(candidates({0, kInfinity, 5, kInfinity, 1}, row) == std::vector<std::int32_t>({1, 3}));
}

TEST("keeps exactly the tokens that xAI's temperature and top_p keep") {
  const Golden golden(golden_path("sampling/sampling.safetensors"));
  const auto cases = golden_cases();
  CHECK(cases.size() > 60);
  for (const GoldenCase& golden_case : cases) {
    const std::string prefix = concat("case", golden_case.number, "/");
    const auto logits = golden.floats(prefix + "logits");
    std::vector<TokenBias> bias;  // a masked token is one that cannot be drawn
    if (golden.has(prefix + "mask")) {
      const auto mask = golden.bytes(prefix + "mask");
      for (std::size_t token = 0; token < mask.size(); ++token)
        if (!mask[token]) bias.push_back({std::int32_t(token), -kInfinity});
    }
    const SampleRow row{.params = {.temperature = float(golden_case.temperature), .top_p = float(golden_case.top_p)},
                        .bias = bias};
    const auto found = candidates(logits, row);
    const auto expected = golden.ints(prefix + "kept_ids");
    // If the running sum passes within 1e-5 of the cut, float32 sums may fall on either side (golden README).
    if (golden_case.cut_margin < 1e-5) {
      CHECK(std::abs(int(found.size()) - int(expected.size())) <= 1);
    } else {
      if (found != expected)
        fail(__FILE__, __LINE__, concat(prefix, ": kept ", found.size(), ", expected ", expected.size()));
    }
  }
}

// The rules as documented. Keeps the first top_k of all tokens in descending order; among them those with at most top_p
// above them, and among these those with min_p of the best.
TEST("tokens dropped early are those that sorting the whole vocabulary drops") {
  unsigned seed = 0;
  for (const int vocab_size : {1, 2, 17, 1000, 5003})
    for (const float spread : {0.0f, 1.0f, 4.0f, 20.0f})
      for (const SampleRow& row : {SampleRow{.params = {.temperature = 0.7f, .top_p = 0.9f}},
                                   {.params = {.temperature = 1.5f, .top_p = 0.999f}},
                                   {.params = {.temperature = 0.2f, .min_p = 0.05f}},
                                   {.params = {.temperature = 1, .top_p = 0.5f, .min_p = 0.01f}},
                                   {.params = {.temperature = 1, .top_k = 40, .top_p = 0.8f}},
                                   {.params = {.temperature = 1e-30f, .top_p = 0.9f}},
                                   {.params = {.temperature = 1, .top_p = 1e-6f}}}) {
        std::vector<float> logits = random_floats(vocab_size, ++seed, spread);
        logits[vocab_size / 2] = std::nanf("");
        const float highest = usable_kernels().front()->highest(logits.data(), logits.size());
        std::vector<Candidate> sorted;
        for (int token = 0; token < vocab_size; ++token) {
          if (std::isnan(logits[token])) continue;
          sorted.push_back({token, std::exp((logits[token] - double(highest)) / row.params.temperature)});
        }
        std::stable_sort(sorted.begin(), sorted.end(), [](auto& a, auto& b) { return a.probability > b.probability; });
        if (row.params.top_k > 0) sorted.resize(std::min(sorted.size(), std::size_t(row.params.top_k)));
        double total = 0;
        for (const Candidate& candidate : sorted) total += candidate.probability;
        std::vector<std::int32_t> expected;
        double above = 0, last = -1;
        bool clear = true;  // no sum is so close to top_p that rounding decides
        for (const Candidate& candidate : sorted) {
          clear &= row.params.top_p == 1 || std::abs(above - row.params.top_p * total) > 1e-6 * total;
          if (above > row.params.top_p * total && candidate.probability != last) break;
          last = candidate.probability;
          above += candidate.probability;
          if (candidate.probability >= row.params.min_p) expected.push_back(candidate.token);
        }
        std::sort(expected.begin(), expected.end());
        if (clear) CHECK(candidates(logits, row) == expected);
      }
}

TEST("penalties apply to seen tokens, biases to named ones") {
  const std::vector<TokenCount> history = {{.token = 0, .generated = 0}, {.token = 1, .generated = 2}};
  const std::vector<TokenBias> bias = {{.token = 2, .bias = 1.5f}};
  const auto adjusted =
      adjusted_logits(std::vector<float>{4, -4, 1, 1},
                      {.params = {.repetition_penalty = 2, .presence_penalty = 0.5f, .frequency_penalty = 0.25f},
                       .history = history,
                       .bias = bias});
  CHECK(adjusted == std::vector<float>({2, -9, 2.5f, 1}));
}

TEST_MAIN()
