#include "testing.h"

#include "backend/cpu/cpu.h"
#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/layout/packed_matrix.h"
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
    // A few units in the last place of float32, also where tanh is close to -1 and the result close to 0.
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
  for (const std::string& isa : cpu_isas()) {
    std::vector<float> found(input.size());
    make_cpu_backend({.num_threads = 1, .isa = isa})
        ->norm({.out = found.data(),
                .x = input.data(),
                .weight = weight.data(),
                .num_tokens = num_tokens,
                .d_model = d_model,
                .eps = 1e-5f});
    CHECK(distance(found, expected) < 1e-6);
  }
}

TEST("rotation is half-split and exact up to position 8191") {
  // An identity matrix for Wq and Wk turns the operation into the rotation alone.
  const auto input = units().floats("rope/input"), expected = units().floats("exact/rope/output");
  const auto positions = units().ints("rope/positions");
  const int num_tokens = int(positions.size()), num_heads = 2, head_dim = 128, width = num_heads * head_dim;
  MadeUpMatrix identity(1, width, width, 1, 1);
  for (int row = 0; row < width; ++row)
    for (int column = 0; column < width; ++column) identity.weights[row * width + column] = row == column;
  std::fill(identity.scales.begin(), identity.scales.end(), f32_to_bf16(1.0f));
  const Bytes weights(identity.weights), scales(identity.scales);
  const QuantizedView view{{DType::i8, {std::uint64_t(width), std::uint64_t(width)}, &weights, 0},
                           {DType::bf16, {1, std::uint64_t(width)}, &scales, 0}};

  const auto backend = make_cpu_backend({.num_threads = 1, .isa = "portable"});
  const MatrixPtr matrix = backend->load_matrix(view);
  const int num_pages = 8192 / kPageSize;
  std::vector<std::int32_t> pages(num_pages), sequences(num_tokens), tokens(num_tokens);
  for (int page = 0; page < num_pages; ++page) pages[page] = num_pages - 1 - page;  // any order will do
  const Batch batch{.tokens = tokens.data(),
                    .positions = positions.data(),
                    .sequences = sequences.data(),
                    .page_tables = pages.data(),
                    .num_tokens = num_tokens,
                    .num_sequences = 1,
                    .max_pages = num_pages};
  const std::uint64_t cache_bytes =
      num_pages * backend->footprint().kv_page_bytes(KvCacheType::f32, num_heads, head_dim);
  const BufferPtr keys = backend->allocate(cache_bytes), values = backend->allocate(cache_bytes);
  const KvPages kv = {keys->as<std::byte>(), values->as<std::byte>()};
  std::vector<float> q(input.size());
  backend->qkv({.q = q.data(),
                .kv = kv,
                .x = input.data(),
                .w_q = matrix.get(),
                .w_k = matrix.get(),
                .w_v = matrix.get(),
                .batch = &batch,
                .num_q_heads = num_heads,
                .num_kv_heads = num_heads,
                .head_dim = head_dim,
                .rope_base = 10000});

  CHECK(distance(q, expected) < 1e-6);
  std::vector<float> cached(input.size()), cached_values(input.size());
  for (int token = 0; token < num_tokens; ++token)
    backend->read_kv({.key = &cached[std::size_t(token) * width],
                      .value = &cached_values[std::size_t(token) * width],
                      .kv = kv,
                      .page = pages[positions[token] / kPageSize],
                      .position_in_page = positions[token] % kPageSize,
                      .num_kv_heads = num_heads,
                      .head_dim = head_dim});
  CHECK(distance(cached, expected) < 1e-6);
  CHECK(distance(cached_values, input) < 1e-6);
}

TEST_MAIN()
