#include "testing.h"

#include "backend/cpu/cpu.h"
#include "backend/cpu/isa/kernels.h"
#include "support/golden.h"
#include "support/made_up.h"

using namespace grok;
using namespace grok::cpu;
using namespace grok::testing;

// Single operations against xAI's code in float64 (test/fixtures/golden/README.md, "units").
namespace {

const Golden& units() {
  static const Golden golden(golden_path("units/units.safetensors"));
  return golden;
}

}  // namespace

TEST("gelu is the tanh form") {
  const auto input = units().floats("gelu/input"), expected = units().floats("exact/gelu/output");
  for (const Kernels* kernels : usable_kernels()) {
    auto found = input;
    const std::vector<float> ones(input.size(), 1.0f);
    kernels->gated_gelu(found.data(), ones.data(), found.size());
    // A few units in the last place of float32, even if tanh is close to -1 and the result close to 0.
    for (std::size_t i = 0; i < input.size(); ++i)
      CHECK_NEAR(found[i], expected[i], 1e-6 * std::abs(expected[i]) + 1e-9);
  }
}

TEST("attention logits are capped by 30 tanh(x / 30) before the softmax") {
  const auto input = units().floats("cap/input"), expected = units().floats("exact/cap/output");
  for (const Kernels* kernels : usable_kernels())
    for (std::size_t i = 0; i < input.size(); ++i) {
      std::vector<float> keys(kv_head_elements(1)), values(kv_head_elements(1)), sums(attention_sums(1));
      std::vector<float> weights(kPageSize);
      keys[key_offset(0, 1)] = input[i];
      values[value_offset(0, 1)] = 1;
      const float q = 1;
      const std::int32_t position = 0;
      kernels->page_attention({.sums = sums.data(),
                               .weights = weights.data(),
                               .q = &q,
                               .positions = &position,
                               .keys = std::as_bytes(std::span(keys)).data(),
                               .values = std::as_bytes(std::span(values)).data(),
                               .q_stride = 1,
                               .num_tokens = 1,
                               .num_heads = 1,
                               .head_dim = 1,
                               .scale = 1,
                               .cap = 30});
      const float mix = sums[0], weight_sum = sums[kv_width(1)];
      // The kernel works with e^(logit - 30): float32 holds the exponent to 30 * 2^-23.
      CHECK_NEAR(30 + std::log(double(weight_sum)), expected[i], 1e-5);
      CHECK_EQ(mix, weight_sum);
    }
}

TEST("norms sum in float32 and use the scale as it is") {
  const auto input = units().floats("rms_norm/float32/input"), weight = units().floats("rms_norm/scale");
  const auto expected = units().floats("exact/rms_norm/float32/output");
  const int num_tokens = int(units().shape("rms_norm/float32/input")[0]), d_model = int(weight.size());
  for (const std::string& isa : usable_isas()) {
    std::vector<float> found(input.size());
    make_backend({.num_threads = 1, .isa = isa})
        ->norm({.out = found.data(),
                .x = input.data(),
                .weight = weight.data(),
                .num_tokens = num_tokens,
                .d_model = d_model,
                .eps = 1e-5f});
    CHECK(distance(found, expected) < 1e-6);
  }
}

TEST_MAIN()
