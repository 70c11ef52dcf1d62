#include "testing.h"

#include "support/operations.h"

using namespace grok;
using namespace grok::testing;

TEST("mixes experts whatever the routing: spread, all tokens to one, some experts without a token") {
  struct Case {
    int num_tokens, num_experts, experts_per_token;
    std::uint64_t d_model, d_ff, groups_of_down;
    bool all_to_two;
  };
  for (const TestedBackend& tested : tested_backends())
    for (const Case shape :
         {Case{1, 8, 2, 64, 256, 8, false}, Case{7, 8, 2, 48, 96, 8, false}, Case{21, 3, 2, 40, 72, 1, true},
          Case{67, 8, 2, 16, 24, 8, false}, Case{9, 5, 1, 33, 2100, 2, false}, Case{2, 2, 2, 2100, 40, 1, false}}) {
      const std::size_t num_slots = std::size_t(shape.num_tokens) * shape.experts_per_token;
      const auto x = random_floats(shape.num_tokens * shape.d_model, 1);
      const auto gates = random_floats(num_slots, 2);
      std::vector<std::int32_t> experts;
      for (int token = 0; token < shape.num_tokens; ++token) {
        const int first = shape.all_to_two ? 2 : (token * 5 + 3) % shape.num_experts;
        for (int rank = 0; rank < shape.experts_per_token; ++rank)
          experts.push_back((first + rank * (shape.all_to_two ? 1 : 2)) % shape.num_experts);
        if (shape.experts_per_token == 2 && experts.end()[-1] == experts.end()[-2])
          experts.back() = (experts.back() + 1) % shape.num_experts;
      }
      const MadeUpMatrix w_gate(shape.num_experts, shape.d_model, shape.d_ff, 1, 3),
          w_up(shape.num_experts, shape.d_model, shape.d_ff, 1, 4),
          w_down(shape.num_experts, shape.d_ff, shape.d_model, shape.groups_of_down, 5);
      const auto [found, expected] = beside_reference(tested, [&](Backend& backend) {
        const MatrixPtr gate_ = backend.load_matrix(w_gate.view()), up_ = backend.load_matrix(w_up.view()),
                        down_ = backend.load_matrix(w_down.view());
        const BufferPtr x_ = on_device(backend, x), gates_ = on_device(backend, gates),
                        out = unwritten(backend, x.size());
        // The batch is how integers reach a backend.
        const Batch ids = backend.stage({.tokens = experts.data(),
                                         .positions = experts.data(),
                                         .sequences = experts.data(),
                                         .page_tables = experts.data(),
                                         .output_rows = experts.data(),
                                         .num_tokens = int(num_slots)});
        backend.experts({.out = out->as<float>(),
                         .x = x_->as<float>(),
                         .experts = ids.tokens,
                         .gates = gates_->as<float>(),
                         .w_gate = gate_.get(),
                         .w_up = up_.get(),
                         .w_down = down_.get(),
                         .num_tokens = shape.num_tokens,
                         .experts_per_token = shape.experts_per_token});
        return read_floats(backend, *out);
      });
      check_near(found, expected, 3 * tested.gates.product,  // three products follow each other
                 concat(tested.name, ", ", shape.num_tokens, " tokens, d_model ", shape.d_model));
    }
}

TEST_MAIN()
