#include "testing.h"

#include <algorithm>
#include <limits>

#include "support/operations.h"

using namespace grok;
using namespace grok::testing;

// Sampling on each backend, beside the reference, which is compared with xAI's own code: test/native/backend/cpu/sample.test.cpp.
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<SampledToken> sampled_rows(Backend& backend, const std::vector<float>& logits,
                                       const std::vector<SampleRow>& rows) {
  const BufferPtr device_logits = on_device(backend, logits);
  std::vector<SampledToken> tokens(rows.size());
  backend.sample({.out = tokens.data(),
                  .logits = device_logits->as<float>(),
                  .rows = rows.data(),
                  .num_rows = int(rows.size()),
                  .vocab_size = int(logits.size() / rows.size())});
  return tokens;
}

SampledToken sampled(Backend& backend, const std::vector<float>& logits, const SampleRow& row) {
  return sampled_rows(backend, logits, {row})[0];
}

// Every token that `num_draws` evenly spaced draws find, ascending.
std::vector<std::int32_t> drawn(Backend& backend, const std::vector<float>& logits, SampleRow row, int num_draws) {
  std::vector<float> repeated;
  std::vector<SampleRow> rows;
  for (int i = 0; i < num_draws; ++i) {
    repeated.insert(repeated.end(), logits.begin(), logits.end());
    row.uniform = (float(i) + 0.5f) / float(num_draws);
    rows.push_back(row);
  }
  std::vector<std::int32_t> tokens;
  for (const SampledToken& token : sampled_rows(backend, repeated, rows)) tokens.push_back(token.token);
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  return tokens;
}

void on_each_backend(const std::function<void(Backend&)>& check) {
  for (const TestedBackend& tested : tested_backends()) {
    const int failures_before = failures();
    check(*tested.make());
    if (failures() > failures_before) std::printf("    on %s\n", tested.name.c_str());
    // Sampling does not depend on the quantization of activations, and the emulator is slow.
    if (tested.name.starts_with("cuda")) break;
  }
}

}  // namespace

TEST("takes the lower id of equals when greedy, and never a NaN") {
  on_each_backend([](Backend& backend) {
    CHECK_EQ(sampled(backend, {1, 3, 3, 2}, {}).token, 1);
    CHECK_EQ(sampled(backend, {0.0f, -0.0f}, {}).token, 0);
    CHECK_EQ(sampled(backend, {-0.0f, 0.0f}, {}).token, 0);
    CHECK_EQ(sampled(backend, {std::nanf(""), 1, 2}, {}).token, 2);
    CHECK_EQ(sampled(backend, {-kInfinity, -5, -6}, {}).token, 1);
  });
}

TEST("draws something when every logit is NaN or ruled out") {
  on_each_backend([](Backend& backend) {
    for (const float logit : {std::nanf(""), -kInfinity}) {
      const std::int32_t token =
          sampled(backend, std::vector<float>(5, logit), {.params = {.temperature = 1}, .uniform = 0.5f}).token;
      CHECK(token >= 0 && token < 5);
    }
  });
}

TEST("a NaN or infinity among the logits makes log-probabilities NaN, wherever it is") {
  on_each_backend([](Backend& backend) {
    for (const std::size_t place : {0u, 17u, 4999u})  // in two spans
      for (const float value : {std::nanf(""), kInfinity, -kInfinity}) {
        std::vector<float> logits(5000, 1.0f);
        logits[place] = value;
        for (const std::int32_t forced : {-1, 5})
          CHECK(std::isnan(sampled(backend, logits, {.forced = forced}).logprob));
      }
  });
}

TEST("top_k keeps exactly k, of equals the lower ids") {
  on_each_backend([](Backend& backend) {
    CHECK(drawn(backend, {2, 1, 2, 2, 0}, {.params = {.temperature = 1, .top_k = 2}}, 20) ==
          std::vector<std::int32_t>({0, 2}));
    CHECK(drawn(backend, {1, 1, 1, 1}, {.params = {.temperature = 1, .top_k = 3}}, 20) ==
          std::vector<std::int32_t>({0, 1, 2}));
    CHECK(drawn(backend, {1, 1, 1}, {.params = {.temperature = 1, .top_k = 3}}, 20) ==
          std::vector<std::int32_t>({0, 1, 2}));
    CHECK(drawn(backend, {1, 1, 1}, {.params = {.temperature = 1, .top_k = 9}}, 20) ==
          std::vector<std::int32_t>({0, 1, 2}));
  });
}

TEST("top_p 0 keeps the best token, and its ties") {
  on_each_backend([](Backend& backend) {
    CHECK(drawn(backend, {1, 5, 2}, {.params = {.temperature = 1, .top_p = 0}}, 8) == std::vector<std::int32_t>({1}));
    CHECK(drawn(backend, {1, 5, 5}, {.params = {.temperature = 1, .top_p = 0}}, 8) ==
          std::vector<std::int32_t>({1, 2}));
  });
}

TEST("top_p does not bring back the ties that top_k dropped") {
  on_each_backend([](Backend& backend) {
    CHECK(drawn(backend, {2, 1, 1, 1, 0}, {.params = {.temperature = 1, .top_k = 2, .top_p = 0.9f}}, 20) ==
          std::vector<std::int32_t>({0, 1}));
  });
}

TEST("min_p keeps tokens with that share of the best token's probability") {
  on_each_backend([](Backend& backend) {
    const float half = std::log(0.5f), tenth = std::log(0.1f);
    CHECK(drawn(backend, {0, half, tenth}, {.params = {.temperature = 1, .min_p = 0.2f}}, 20) ==
          std::vector<std::int32_t>({0, 1}));
  });
}

TEST("draws each token as often as its probability says, by ascending id") {
  on_each_backend([](Backend& backend) {
    const std::vector<float> logits = {0, std::log(2.0f), std::log(5.0f)};  // 1/8, 2/8, 5/8
    std::vector<float> repeated;
    std::vector<SampleRow> rows;
    for (int i = 0; i < 80; ++i) {
      repeated.insert(repeated.end(), logits.begin(), logits.end());
      rows.push_back({.params = {.temperature = 1}, .uniform = (float(i) + 0.5f) / 80});
    }
    const auto tokens = sampled_rows(backend, repeated, rows);
    for (int i = 0; i < 80; ++i) CHECK_EQ(tokens[i].token, i < 10 ? 0 : i < 30 ? 1 : 2);
  });
}

TEST("keeps the tokens that xAI's temperature and top_p keep") {
  on_each_backend([](Backend& backend) {
    const Golden golden(golden_path("sampling/sampling.safetensors"));
    std::ifstream file(golden_path("sampling/sampling.json"));
    const std::string text(std::istreambuf_iterator<char>(file), {});
    JsonReader json(text, "sampling.json");
    const auto reference = reference_backend();
    int num_cases = 0;
    json.read_array([&] {
      int number = 0;
      double temperature = 0, top_p = 0, cut_margin = 1;
      json.read_object([&](const std::string& key) {
        if (key == "case")
          number = int(json.read_integer());
        else if (key == "temperature")
          temperature = json.read_number();
        else if (key == "top_p")
          top_p = json.read_number();
        else if (key == "cut_margin") {
          try {
            cut_margin = json.read_number();
          } catch (const Error&) {
            json.skip();  // null: nothing was dropped
          }
        } else
          json.skip();
      });
      const std::string prefix = concat("case", number, "/");
      const auto logits = golden.floats(prefix + "logits");
      if (cut_margin < 1e-5 || logits.size() > 5000) return;  // either side may be right; and the emulator is slow
      ++num_cases;
      std::vector<TokenBias> bias;
      if (golden.has(prefix + "mask")) {
        const auto mask = golden.bytes(prefix + "mask");
        for (std::size_t token = 0; token < mask.size(); ++token)
          if (!mask[token]) bias.push_back({std::int32_t(token), -kInfinity});
      }
      SampleRow row{.params = {.temperature = float(temperature), .top_p = float(top_p)}, .bias = bias};
      const auto kept = golden.ints(prefix + "kept_ids");
      for (const float uniform : {0.001f, 0.3f, 0.77f, 0.9999999f}) {
        row.uniform = uniform;
        const std::int32_t token = sampled(backend, logits, row).token;
        // The same share of another set would be another token.
        CHECK_EQ(token, sampled(*reference, logits, row).token);
        if (!std::binary_search(kept.begin(), kept.end(), token))
          fail(__FILE__, __LINE__, concat(prefix, ": token ", token, " at ", uniform, " is not among the kept"));
      }
    });
    CHECK(num_cases > 20);
  });
}

TEST("draws what the reference draws, with all filters at once") {
  on_each_backend([](Backend& backend) {
    const int vocab_size = 1543, num_rows = 24;
    auto logits = random_floats(std::size_t(num_rows) * vocab_size, 1, 3);
    for (std::size_t i = 0; i < logits.size(); i += 7) logits[i] = std::round(logits[i]);  // ties
    std::mt19937 generator(2);
    const auto some = [&](std::initializer_list<float> values) { return values.begin()[generator() % values.size()]; };
    std::vector<std::vector<TokenCount>> histories(num_rows);
    std::vector<std::vector<TokenBias>> biases(num_rows);
    std::vector<SampleRow> rows;
    for (int r = 0; r < num_rows; ++r) {
      for (int i = 0; i < 40; ++i) {
        histories[r].push_back({std::int32_t(generator() % 30 * 50 + i), std::int32_t(generator() % 3)});
        biases[r].push_back({std::int32_t(generator() % vocab_size), some({-kInfinity, 1.5f, -2, 0.25f})});
      }
      std::sort(histories[r].begin(), histories[r].end(), [](auto a, auto b) { return a.token < b.token; });
      const auto end =
          std::unique(histories[r].begin(), histories[r].end(), [](auto a, auto b) { return a.token == b.token; });
      histories[r].erase(end, histories[r].end());
      rows.push_back({.params = {.temperature = some({0, 0.7f, 1, 1.3f}),
                                 .top_k = std::int32_t(some({0, 1, 5, 40, 2000})),
                                 .top_p = some({1, 0.95f, 0.5f, 0.1f}),
                                 .min_p = some({0, 0, 0.02f}),
                                 .repetition_penalty = some({1, 1.3f}),
                                 .presence_penalty = some({0, 0.5f}),
                                 .frequency_penalty = some({0, 0.2f}),
                                 .num_logprobs = std::int32_t(some({0, 1, 5}))},
                      .uniform = float(generator() % 1000) / 1000,
                      .forced = generator() % 8 == 0 ? std::int32_t(generator() % vocab_size) : -1,
                      .history = histories[r],
                      .bias = biases[r]});
    }
    const auto expected = sampled_rows(*reference_backend(), logits, rows);
    const auto found = sampled_rows(backend, logits, rows), again = sampled_rows(backend, logits, rows);
    for (int r = 0; r < num_rows; ++r) {
      CHECK_EQ(found[r].token, expected[r].token);
      CHECK_NEAR(found[r].logprob, expected[r].logprob, 2e-6 * std::abs(expected[r].logprob));
      CHECK_EQ(found[r].logprob, again[r].logprob);
      CHECK_EQ(found[r].top.size(), expected[r].top.size());
      for (std::size_t place = 0; place < found[r].top.size(); ++place) {
        CHECK_EQ(found[r].top[place].token, expected[r].top[place].token);
        CHECK_NEAR(found[r].top[place].logprob, expected[r].top[place].logprob, 2e-6 * std::abs(expected[r].logprob));
      }
    }
  });
}

namespace {

constexpr int kSpan = 4096;  // tokens of a row per block

void check_draws_as_reference(Backend& backend, const std::vector<float>& logits, SampleRow row) {
  std::vector<float> repeated;
  std::vector<SampleRow> rows;
  for (const float uniform : {0.0001f, 0.2503f, 0.5007f, 0.7511f, 0.9998f}) {
    repeated.insert(repeated.end(), logits.begin(), logits.end());
    row.uniform = uniform;
    rows.push_back(row);
  }
  const auto expected = sampled_rows(*reference_backend(), repeated, rows),
             found = sampled_rows(backend, repeated, rows);
  for (std::size_t r = 0; r < rows.size(); ++r) CHECK_EQ(found[r].token, expected[r].token);
}

}  // namespace

TEST("draws from a vocabulary of one, and from one token of many") {
  on_each_backend([](Backend& backend) {
    CHECK_EQ(sampled(backend, {-3}, {.params = {.temperature = 1, .top_k = 1, .top_p = 0.5f}, .uniform = 0.9f}).token,
             0);
    for (const int only : {0, kSpan - 1, kSpan, 2 * kSpan}) {
      std::vector<float> logits(2 * kSpan + 1, -1e30f);
      logits[only] = -7;
      for (const float temperature : {0.0f, 1.0f}) {
        const SampledToken token = sampled(
            backend, logits,
            {.params = {.temperature = temperature, .top_k = 3, .top_p = 0.9f, .num_logprobs = 2}, .uniform = 0.9f});
        CHECK_EQ(token.token, only);
        CHECK_EQ(token.logprob, 0);
        CHECK_EQ(token.top[0].token, only);
        CHECK_EQ(token.top[1].token, only == 0 ? 1 : 0);
      }
    }
  });
}

TEST("keeps all of equal logits with top_p, and the lower ids with top_k, whatever span they are in") {
  on_each_backend([](Backend& backend) {
    const int vocab_size = 2 * kSpan + 500;
    const std::vector<float> logits(vocab_size, 2.5f);
    for (const float uniform : {0.0f, 0.3f, 0.499f, 0.97f}) {
      const auto drawn_of = [&](std::int32_t top_k, float top_p) {
        return sampled(backend, logits,
                       {.params = {.temperature = 0.7f, .top_k = top_k, .top_p = top_p}, .uniform = uniform})
            .token;
      };
      CHECK_EQ(drawn_of(0, 1), int(double(uniform) * vocab_size));
      CHECK_EQ(drawn_of(0, 0.1f), int(double(uniform) * vocab_size));
      CHECK_EQ(drawn_of(kSpan + 77, 1), int(double(uniform) * (kSpan + 77)));
      CHECK_EQ(drawn_of(kSpan + 77, 0.1f), int(double(uniform) * (kSpan + 77)));
    }
  });
}

TEST("cuts at the right place among many logits that are nearly or exactly equal") {
  on_each_backend([](Backend& backend) {
    std::vector<float> near(kSpan + 900), few(kSpan + 900);
    float logit = 3;
    for (std::size_t i = 0; i < near.size(); ++i) {
      near[i * 2741 % near.size()] = logit = std::nextafter(logit, 0.0f);
      few[i] = float(i * 2741 % 3);
    }
    for (const auto& logits : {near, few})
      for (const float top_p : {1.0f, 0.50007f, 0.999f})  // the last keeps ties with the k-th
        for (const std::int32_t top_k : {0, 1, 1700, 4500})
          check_draws_as_reference(backend, logits, {.params = {.temperature = 0.8f, .top_k = top_k, .top_p = top_p}});
  });
}

TEST("draws what the reference draws, likely and unlikely tokens in every span") {
  on_each_backend([](Backend& backend) {
    const int vocab_size = 3 * kSpan + 5;
    for (const float deviation : {0.3f, 3.0f, 40.0f}) {
      auto logits = random_floats(vocab_size, 5, deviation);
      std::vector<TokenBias> bias;
      for (const int token : {0, 17, kSpan - 1, kSpan, 2 * kSpan - 1, 2 * kSpan, vocab_size - 1})
        bias.push_back({token, 2 * deviation});
      check_draws_as_reference(backend, logits, {.params = {.temperature = 0.9f}, .bias = bias});
      check_draws_as_reference(backend, logits, {.params = {.temperature = 0.9f, .top_p = 0.8f}, .bias = bias});
      check_draws_as_reference(
          backend, logits,
          {.params = {.temperature = 1.2f, .top_k = 3000, .top_p = 0.95f, .min_p = 0.01f}, .bias = bias});
      check_draws_as_reference(backend, logits, {.params = {.temperature = 1.2f, .top_p = 0.95f, .min_p = 0.3f}});
    }
  });
}

TEST("gives a row the same bits alone and beside rows with other options") {
  on_each_backend([](Backend& backend) {
    const int vocab_size = kSpan + 300, num_rows = 66;  // more than are sampled at once
    const auto logits = random_floats(std::size_t(num_rows) * vocab_size, 6, 2);
    const std::vector<TokenBias> bias = {{5, 1}, {kSpan - 1, -kInfinity}, {kSpan + 1, 3}};
    std::vector<SampleRow> rows;
    for (int r = 0; r < num_rows; ++r)
      rows.push_back({.params = {.temperature = r % 7 == 0 ? 0 : 0.5f + 0.1f * float(r % 5),
                                 .top_k = r % 3 == 0 ? 0 : 20 * r,
                                 .top_p = r % 4 == 0 ? 1 : 0.3f + 0.01f * float(r),
                                 .min_p = r % 5 == 0 ? 0.01f : 0,
                                 .num_logprobs = r % 3},
                      .uniform = float(r * 37 % 100) / 100,
                      .forced = r % 11 == 0 ? r : -1,
                      .bias = r % 2 == 0 ? std::span(bias) : std::span<const TokenBias>()});
    const auto together = sampled_rows(backend, logits, rows);
    for (int r = 0; r < num_rows; ++r) {
      const auto first = logits.begin() + std::ptrdiff_t(r) * vocab_size;
      const SampledToken alone = sampled(backend, std::vector(first, first + vocab_size), rows[r]);
      CHECK_EQ(alone.token, together[r].token);
      CHECK_EQ(alone.logprob, together[r].logprob);
      CHECK_EQ(alone.top.size(), together[r].top.size());
      for (std::size_t place = 0; place < alone.top.size(); ++place) {
        CHECK_EQ(alone.top[place].token, together[r].top[place].token);
        CHECK_EQ(alone.top[place].logprob, together[r].top[place].logprob);
      }
    }
  });
}

TEST("reports the likeliest of all spans, ties by ascending id") {
  on_each_backend([](Backend& backend) {
    std::vector<float> logits(2 * kSpan + 10, 0);
    logits[2 * kSpan + 3] = 9;
    logits[kSpan + 1] = logits[3] = logits[kSpan] = 8;
    const SampledToken token = sampled(backend, logits, {.params = {.num_logprobs = 6}});
    const std::vector<std::int32_t> expected = {2 * kSpan + 3, 3, kSpan, kSpan + 1, 0, 1};
    CHECK_EQ(token.top.size(), expected.size());
    for (std::size_t place = 0; place < expected.size(); ++place) CHECK_EQ(token.top[place].token, expected[place]);
  });
}

TEST("reports log-probabilities of the model's own distribution, not of the one drawn from") {
  on_each_backend([](Backend& backend) {
    const std::vector<float> logits = {0, std::log(3.0f)};
    const SampledToken token =
        sampled(backend, logits, {.params = {.temperature = 0.1f, .num_logprobs = 5}, .forced = 0});
    CHECK_EQ(token.token, 0);
    CHECK_NEAR(token.logprob, std::log(0.25), 1e-6);
    CHECK_EQ(token.top.size(), 2u);
    CHECK_EQ(token.top[0].token, 1);
    CHECK_NEAR(token.top[0].logprob, std::log(0.75), 1e-6);
  });
}

TEST_MAIN()
