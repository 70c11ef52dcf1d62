#include "testing.h"

#include <cmath>
#include <limits>
#include <numeric>

#include "backend/cuda/cuda.h"
#include "support/made_up.h"
#include "support/on_device.h"

using namespace grok;
using namespace grok::cuda;
using namespace grok::testing;

// The embedding and the head as limbs: their values, for all sizes.
namespace {

struct MadeUpTable {
  MadeUpTable(int vocab_size, int d_model)
      : vocab_size(vocab_size), d_model(d_model), values(random_floats(std::size_t(vocab_size) * d_model, 9)) {
    std::fill_n(values.begin() + d_model, d_model, 0.0f);  // a token that was never trained
  }
  TablePtr load(Backend& backend) const {
    const Bytes source(values);
    return backend.load_table({DType::f32, {std::uint64_t(vocab_size), std::uint64_t(d_model)}, &source, 0});
  }
  float largest(int token) const {
    float largest = 0;
    for (int i = 0; i < d_model; ++i) largest = std::max(largest, std::abs(values[std::size_t(token) * d_model + i]));
    return largest;
  }

  int vocab_size, d_model;
  std::vector<float> values;  // [vocab_size, d_model]
};

// Logits of all tokens, last first: [vocab_size, d_model].
std::vector<float> embedded(Backend& backend, const MadeUpTable& made_up) {
  std::vector<std::int32_t> tokens(made_up.vocab_size), zeros(made_up.vocab_size);
  std::iota(tokens.rbegin(), tokens.rend(), 0);
  const TablePtr table = made_up.load(backend);
  const Batch batch = backend.stage({.tokens = tokens.data(),
                                     .positions = zeros.data(),
                                     .sequences = zeros.data(),
                                     .num_tokens = made_up.vocab_size});
  const BufferPtr out = unwritten(backend, made_up.values.size());
  backend.embed({.out = out->as<float>(), .table = table.get(), .batch = &batch, .scale = 3});
  return read_floats(backend, *out);
}

std::vector<float> logits(Backend& backend, const MadeUpTable& made_up, const std::vector<float>& x,
                          const std::vector<std::int32_t>& output_rows) {
  const int num_tokens = int(x.size()) / made_up.d_model;
  const std::vector<std::int32_t> zeros(num_tokens);
  const TablePtr table = made_up.load(backend);
  const BufferPtr device_x = on_device(backend, x), out = unwritten(backend, output_rows.size() * made_up.vocab_size);
  const Batch batch = backend.stage({.tokens = zeros.data(),
                                     .positions = zeros.data(),
                                     .sequences = zeros.data(),
                                     .output_rows = output_rows.data(),
                                     .num_tokens = num_tokens,
                                     .num_outputs = int(output_rows.size())});
  backend.logits(
      {.out = out->as<float>(), .x = device_x->as<float>(), .table = table.get(), .batch = &batch, .scale = 2});
  return read_floats(backend, *out);
}

}  // namespace

TEST("a row with a NaN or infinity becomes NaN, and the others do not change") {
  MadeUpTable made_up(40, 70);
  made_up.values[3 * 70 + 5] = std::numeric_limits<float>::quiet_NaN();
  made_up.values[4 * 70 + 6] = -std::numeric_limits<float>::infinity();
  const auto backend = make_backend({});
  const auto rows = embedded(*backend, made_up), found = logits(*backend, made_up, std::vector<float>(70, 1), {0});
  for (int token = 0; token < 40; ++token) {
    CHECK_EQ(std::isnan(found[token]), token == 3 || token == 4);
    for (int i = 0; i < 70; ++i) CHECK_EQ(std::isnan(rows[(39 - token) * 70 + i]), token == 3 || token == 4);
  }
}

TEST("rows of the embedding are off by half a unit of the last limb, whatever the sizes") {
  for (const int num_limbs : {2, 3})
    for (const auto& [vocab_size, d_model] :
         {std::pair(70, 64), std::pair(33, 23), std::pair(2, 1), std::pair(48, 1090)}) {
      const MadeUpTable made_up(vocab_size, d_model);
      const auto backend = make_backend({.num_limbs = num_limbs});
      const auto found = embedded(*backend, made_up);
      // A little under 2^15 and 2^23 is the largest integer, and values are scaled in float32.
      const double half = num_limbs == 2 ? 0x1.04p-16 : 0x1p-22;
      for (int token = 0; token < vocab_size; ++token)
        for (int i = 0; i < d_model; ++i)
          CHECK_NEAR(found[(vocab_size - 1 - token) * d_model + i], 3 * made_up.values[token * d_model + i],
                     3 * made_up.largest(token) * half);
    }
}

TEST("a table larger than one upload is packed part by part") {
  const MadeUpTable made_up(70, 130'000);  // 32 rows at once
  const auto backend = make_backend({});
  const auto found = embedded(*backend, made_up);
  for (const int token : {0, 31, 32, 63, 64, 69})
    for (int i = 0; i < made_up.d_model; i += 999)
      CHECK_NEAR(found[std::size_t(69 - token) * made_up.d_model + i],
                 3 * made_up.values[std::size_t(token) * made_up.d_model + i], 3 * made_up.largest(token) * 0x1.04p-16);
}

TEST("the head multiplies by what the embedding holds, for any number of outputs") {
  for (const int num_limbs : {2, 3})
    for (const auto& [vocab_size, d_model] : {std::pair(70, 200), std::pair(33, 1100), std::pair(5, 2085)})
      for (const int num_outputs : {1, 3, 9, 40}) {
        const MadeUpTable made_up(vocab_size, d_model);
        const auto backend = make_backend({.num_limbs = num_limbs});
        const auto x = random_floats(std::size_t(num_outputs) * d_model, 4);
        std::vector<std::int32_t> output_rows(num_outputs);
        std::iota(output_rows.rbegin(), output_rows.rend(), 0);
        const auto found = logits(*backend, made_up, x, output_rows);

        std::vector<double> expected(found.size());
        for (int output = 0; output < num_outputs; ++output)
          for (int token = 0; token < vocab_size; ++token)
            for (int i = 0; i < d_model; ++i)
              expected[output * vocab_size + token] +=
                  2.0 * x[output_rows[output] * d_model + i] * made_up.values[token * d_model + i];
        // Half a unit of the last limb on both sides, relative to the largest of normal values; three limbs: f32's
        // sums.
        const double d = distance(found, expected);
        if (!(d < (num_limbs == 2 ? 1e-4 : 1e-6)))
          fail(__FILE__, __LINE__,
               concat(vocab_size, " x ", d_model, ", ", num_outputs, " outputs, ", num_limbs, " limbs: ", d, " away"));
      }
}

TEST_MAIN()
