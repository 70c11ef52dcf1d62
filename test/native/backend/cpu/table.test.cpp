#include "testing.h"

#include <limits>

#include "backend/backend.h"
#include "backend/cpu/cpu.h"
#include "support/made_up.h"

using namespace grok;
using namespace grok::cpu;
using namespace grok::testing;

namespace {

struct MadeUpTable {
  MadeUpTable(int vocab_size, int d_model)
      : vocab_size(vocab_size),
        d_model(d_model),
        values(random_floats(std::size_t(vocab_size) * d_model, 9)),
        source(values) {
    std::fill_n(values.begin() + d_model, d_model, 0.0f);  // a token that was never trained
    source = Bytes(values);
  }
  TensorView view() const { return {DType::f32, {std::uint64_t(vocab_size), std::uint64_t(d_model)}, &source, 0}; }

  int vocab_size, d_model;
  std::vector<float> values;  // [vocab_size, d_model]
  Bytes source;
};

}  // namespace

TEST("rows of the embedding are as close as float32, whatever the sizes") {
  for (const auto& [vocab_size, d_model] :
       {std::pair(70, 64), std::pair(33, 24), std::pair(2, 1), std::pair(100, 200)}) {
    const MadeUpTable made_up(vocab_size, d_model);
    const auto backend = make_backend({.num_threads = 2});
    const TablePtr table = backend->load_table(made_up.view());
    std::vector<std::int32_t> tokens;
    for (int token = 0; token < vocab_size; ++token) tokens.push_back(token);
    const Batch batch{.tokens = tokens.data(), .num_tokens = vocab_size};
    std::vector<float> found(made_up.values.size());
    backend->embed({.out = found.data(), .table = table.get(), .batch = &batch, .scale = 3});

    for (int token = 0; token < vocab_size; ++token) {
      float largest = 0;
      for (int i = 0; i < d_model; ++i) largest = std::max(largest, std::abs(made_up.values[token * d_model + i]));
      for (int i = 0; i < d_model; ++i)
        CHECK_NEAR(found[token * d_model + i], 3 * made_up.values[token * d_model + i], 3 * largest * 0x1p-22);
    }
  }
}

TEST("a row with a NaN or infinity becomes NaN, and the others do not change") {
  MadeUpTable made_up(40, 64);
  made_up.values[3 * 64 + 5] = std::numeric_limits<float>::quiet_NaN();
  made_up.values[4 * 64 + 6] = std::numeric_limits<float>::infinity();
  made_up.source = Bytes(made_up.values);
  const auto backend = make_backend({.num_threads = 1});
  const TablePtr table = backend->load_table(made_up.view());
  const std::vector<std::int32_t> tokens = {2, 3, 4}, rows = {0};
  const std::vector<float> x(64, 1.0f);
  const Batch batch{.tokens = tokens.data(), .output_rows = rows.data(), .num_tokens = 3, .num_outputs = 1};
  std::vector<float> found(3 * 64), logits(40);
  backend->embed({.out = found.data(), .table = table.get(), .batch = &batch, .scale = 1});
  backend->logits({.out = logits.data(), .x = x.data(), .table = table.get(), .batch = &batch, .scale = 1});
  for (int i = 0; i < 64; ++i) {
    CHECK(std::isfinite(found[i]));
    CHECK(std::isnan(found[64 + i]) && std::isnan(found[128 + i]));
  }
  CHECK(std::isfinite(logits[2]) && std::isnan(logits[3]) && std::isnan(logits[4]));
}

TEST("the head multiplies by what the embedding holds, to 16 bits or better") {
  const MadeUpTable made_up(70, 200);
  for (const std::string& isa : usable_isas())
    for (const int num_outputs : {1, 3, 40}) {
      const auto backend = make_backend({.num_threads = 2, .isa = isa});
      const TablePtr table = backend->load_table(made_up.view());
      const auto x = random_floats(std::size_t(num_outputs) * 200, 4);
      std::vector<std::int32_t> rows;
      for (int row = num_outputs - 1; row >= 0; --row) rows.push_back(row);
      const Batch batch{.output_rows = rows.data(), .num_tokens = num_outputs, .num_outputs = num_outputs};
      std::vector<float> found(std::size_t(num_outputs) * 70);
      backend->logits({.out = found.data(), .x = x.data(), .table = table.get(), .batch = &batch, .scale = 2});

      std::vector<double> expected(found.size());
      for (int output = 0; output < num_outputs; ++output)
        for (int token = 0; token < 70; ++token)
          for (int i = 0; i < 200; ++i)
            expected[output * 70 + token] += 2.0 * x[rows[output] * 200 + i] * made_up.values[token * 200 + i];
      CHECK(distance(found, expected) < (isa == "portable" ? 1e-6 : 1e-4));
    }
}

TEST_MAIN()
