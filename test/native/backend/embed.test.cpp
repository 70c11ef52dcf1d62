#include "testing.h"

#include "support/operations.h"

using namespace grok;
using namespace grok::testing;

// Equality to the last bit would need the table a second time, as float32.
TEST("embeds the rows that the tokens name, to the precision of a row's largest value") {
  const int vocab_size = 50, d_model = 37;
  const auto rows = random_floats(vocab_size * d_model, 1);
  MadeUpBatch made_up({0, 1, 2, 3, 9}, 1, 1, vocab_size);
  for (const TestedBackend& tested : tested_backends()) {
    const auto backend = tested.make();
    const TablePtr table = table_of(*backend, rows, vocab_size);
    const Batch batch = backend->stage(made_up.batch);
    const BufferPtr out = unwritten(*backend, 5 * d_model);
    backend->embed({.out = out->as<float>(), .table = table.get(), .batch = &batch, .scale = 78.5f});
    const auto found = read_floats(*backend, *out);
    for (int place = 0; place < int(found.size()); ++place) {
      const float* row = &rows[made_up.tokens[place / d_model] * d_model];
      float largest = 0;
      for (int i = 0; i < d_model; ++i) largest = std::max(largest, std::abs(row[i]));
      CHECK_NEAR(found[place], row[place % d_model] * 78.5f, largest * 78.5f * tested.gates.row);
    }
  }
}

TEST_MAIN()
