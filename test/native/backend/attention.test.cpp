#include "testing.h"

#include "support/operations.h"

using namespace grok;
using namespace grok::testing;

TEST("attends over pages, splits and heads as the reference does, with logits far past the cap") {
  struct Heads {
    int q, kv, head_dim;
    KvCacheType type;
  };
  for (const TestedBackend& tested : tested_backends())
    for (const Heads heads :
         {Heads{2, 2, 2, KvCacheType::f32}, Heads{3, 1, 8, KvCacheType::bf16}, Heads{10, 1, 40, KvCacheType::int8},
          Heads{12, 2, 128, KvCacheType::f32}, Heads{6, 1, 128, KvCacheType::bf16}, Heads{6, 1, 128, KvCacheType::int8},
          Heads{2, 1, 6, KvCacheType::bf16}, Heads{2, 2, 10, KvCacheType::int8}, Heads{3, 1, 136, KvCacheType::f32}}) {
      const int num_sequences = 2, pages_each = 9, d_model = 16;
      const std::uint64_t q_width = heads.q * heads.head_dim, kv_width = heads.kv * heads.head_dim;
      // The cache is the backend's own: it is filled by projecting something for every position of both sequences.
      std::vector<int> everywhere;
      for (int position = 0; position <= 573; ++position)  // later positions must not matter
        for (int sequence = 0; sequence < num_sequences; ++sequence) everywhere.push_back(position);
      MadeUpBatch filling(everywhere, num_sequences, pages_each, 10);
      MadeUpBatch made_up({0, 63, 64, 255, 256, 257, 511, 573}, num_sequences, pages_each, 10);
      const MadeUpMatrix w_q(1, d_model, q_width, 1, 1), w_kv(1, d_model, kv_width, 1, 2);
      const auto x = random_floats(everywhere.size() * d_model, 4, 0.3f);  // keys of some 4, and logits past 30
      const auto q = random_floats(made_up.positions.size() * q_width, 1, 5);
      const auto [found, expected] = beside_reference(tested, [&](Backend& backend) {
        const MatrixPtr q_matrix = backend.load_matrix(w_q.view()), kv_matrix = backend.load_matrix(w_kv.view());
        const BufferPtr x_ = on_device(backend, x), q_ = on_device(backend, q),
                        ignored = unwritten(backend, everywhere.size() * q_width), out = unwritten(backend, q.size());
        const Cache kv(backend, heads.type, num_sequences * pages_each, heads.kv, heads.head_dim, std::nanf(""));
        const Batch all = backend.stage(filling.batch);
        backend.qkv({.q = ignored->as<float>(),
                     .kv = kv.pages,
                     .x = x_->as<float>(),
                     .w_q = q_matrix.get(),
                     .w_k = kv_matrix.get(),
                     .w_v = kv_matrix.get(),
                     .batch = &all,
                     .num_q_heads = heads.q,
                     .num_kv_heads = heads.kv,
                     .head_dim = heads.head_dim,
                     .rope_base = 10000});
        const Batch batch = backend.stage(made_up.batch);
        backend.attention({.out = out->as<float>(),
                           .q = q_->as<float>(),
                           .kv = kv.pages,
                           .batch = &batch,
                           .num_q_heads = heads.q,
                           .num_kv_heads = heads.kv,
                           .head_dim = heads.head_dim,
                           .scale = 1 / std::sqrt(float(heads.head_dim)),
                           .cap = 30});
        return read_floats(backend, *out);
      });
      // Weights are e^logit: a logit near 30 is good to 2e-6 only, and to less where keys were rounded to either side.
      check_near(found, expected, heads.type == KvCacheType::f32 ? 10 * tested.gates.product : 5e-3,
                 concat(tested.name, ", ", heads.q, " heads of ", heads.head_dim, ", ", name_of(heads.type)));
    }
}

TEST_MAIN()
