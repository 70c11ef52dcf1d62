#include "testing.h"

#include "support/operations.h"

using namespace grok;
using namespace grok::testing;

TEST("logits are those of the requested rows, and the same bits alone and together") {
  const int vocab_size = 77, d_model = 90, num_tokens = 7;
  const auto rows = random_floats(vocab_size * d_model, 1), x = random_floats(num_tokens * d_model, 2);
  const std::vector<std::int32_t> outputs = {6, 0, 3, 3, 1};
  MadeUpBatch made_up(std::vector<int>(num_tokens, 0), 1, 1, vocab_size);
  const auto logits_of = [&](Backend& backend, std::vector<std::int32_t> wanted) {
    const TablePtr table = table_of(backend, rows, vocab_size);
    const BufferPtr x_ = on_device(backend, x), out = unwritten(backend, wanted.size() * vocab_size);
    made_up.batch.output_rows = wanted.data();
    made_up.batch.num_outputs = int(wanted.size());
    const Batch batch = backend.stage(made_up.batch);
    backend.logits(
        {.out = out->as<float>(), .x = x_->as<float>(), .table = table.get(), .batch = &batch, .scale = 0.5f});
    return read_floats(backend, *out);
  };
  for (const TestedBackend& tested : tested_backends()) {
    const auto [found, expected] =
        beside_reference(tested, [&](Backend& backend) { return logits_of(backend, outputs); });
    check_near(found, expected, std::max(tested.gates.product, tested.gates.logits / 3),
               concat(tested.name, ", logits"));
    std::vector<float> alone;
    for (const std::int32_t output : outputs) {
      const auto row = logits_of(*tested.make(), {output});
      alone.insert(alone.end(), row.begin(), row.end());
    }
    CHECK(alone == found);
  }
}

TEST_MAIN()
