#include "testing.h"

#include "support/operations.h"

using namespace grok;
using namespace grok::testing;

namespace {

struct Projected {
  std::vector<float> q;
  std::vector<float> before, after;  // the cache [num_pages * kPageSize, width]
};

// The positions of a cache that are, or are not, among the given ones.
std::vector<float> places(const std::vector<float>& cache, const std::vector<bool>& is_written, bool wanted) {
  const std::size_t width = cache.size() / is_written.size();
  std::vector<float> found;
  for (std::size_t place = 0; place < is_written.size(); ++place)
    if (is_written[place] == wanted)
      found.insert(found.end(), cache.begin() + place * width, cache.begin() + (place + 1) * width);
  return found;
}

}  // namespace

TEST("projects, rotates and writes each token's place in the cache and no other") {
  struct Heads {
    int q, kv, head_dim;
    std::uint64_t groups_of_q, groups_of_kv;
  };
  for (const TestedBackend& tested : tested_backends())
    for (const KvCacheType type : kCacheTypes)
      for (const Heads heads : {Heads{4, 2, 4, 1, 1}, Heads{6, 1, 16, 1, 2}, Heads{12, 2, 128, 4, 1}}) {
        const int d_model = 40, num_pages = 6, num_sequences = 2;
        const std::uint64_t q_width = heads.q * heads.head_dim, kv_width = heads.kv * heads.head_dim;
        std::vector<int> positions = {0, 5, 63, 64, 65, 191, 100};
        for (int more = 0; more < 60; ++more) positions.push_back(110 + more);  // more than one product takes
        MadeUpBatch made_up(positions, num_sequences, num_pages / num_sequences, 10);
        const MadeUpMatrix w_q(1, d_model, q_width, heads.groups_of_q, 1),
            w_k(1, d_model, kv_width, heads.groups_of_kv, 2), w_v(1, d_model, kv_width, heads.groups_of_kv, 3);
        const auto x = random_floats(made_up.positions.size() * d_model, 4);
        const auto [found, expected] = beside_reference(tested, [&](Backend& backend) {
          const MatrixPtr q_ = backend.load_matrix(w_q.view()), k_ = backend.load_matrix(w_k.view()),
                          v_ = backend.load_matrix(w_v.view());
          const BufferPtr x_ = on_device(backend, x), out = unwritten(backend, made_up.positions.size() * q_width);
          const Cache kv(backend, type, num_pages, heads.kv, heads.head_dim);
          const auto before = kv.read(backend);
          const Batch batch = backend.stage(made_up.batch);
          backend.qkv({.q = out->as<float>(),
                       .kv = kv.pages,
                       .x = x_->as<float>(),
                       .w_q = q_.get(),
                       .w_k = k_.get(),
                       .w_v = v_.get(),
                       .batch = &batch,
                       .num_q_heads = heads.q,
                       .num_kv_heads = heads.kv,
                       .head_dim = heads.head_dim,
                       .rope_base = 10000});
          return Projected{read_floats(backend, *out), before, kv.read(backend)};
        });
        std::vector<bool> is_written(num_pages * kPageSize);
        for (std::size_t token = 0; token < positions.size(); ++token) {
          const int page =
              made_up.pages[made_up.sequences[token] * made_up.batch.max_pages + positions[token] / kPageSize];
          is_written[page * kPageSize + positions[token] % kPageSize] = true;
        }
        const std::string title = concat(tested.name, ", ", name_of(type), " cache");
        check_near(found.q, expected.q, tested.gates.product, title);
        CHECK(places(found.after, is_written, false) == places(found.before, is_written, false));
        // A value at the boundary between two roundings may fall to either side.
        const double of_rounding = type == KvCacheType::f32 ? 0 : 5e-4 + 5 * tested.gates.product;
        check_near(places(found.after, is_written, true), places(expected.after, is_written, true),
                   tested.gates.product + of_rounding, title);
      }
}

TEST("rotation is half-split and exact up to position 8191") {
  // An identity matrix for w_q and w_k turns the operation into the rotation alone.
  const Golden units(golden_path("units/units.safetensors"));
  const auto input = units.floats("rope/input"), expected = units.floats("exact/rope/output");
  const auto positions = units.ints("rope/positions");
  const int num_tokens = int(positions.size()), num_heads = 2, head_dim = 128, width = num_heads * head_dim;
  std::vector<std::int8_t> identity(width * width);
  for (int i = 0; i < width; ++i) identity[i * width + i] = 1;
  const std::vector<std::uint16_t> ones(width, f32_to_bf16(1.0f));
  const Bytes weights(identity), scales(ones);
  const Linear view{{DType::i8, {std::uint64_t(width), std::uint64_t(width)}, &weights, 0},
                    {DType::bf16, {1, std::uint64_t(width)}, &scales, 0}};
  const int num_pages = 8192 / kPageSize;
  std::vector<std::int32_t> pages(num_pages);
  for (int page = 0; page < num_pages; ++page) pages[page] = num_pages - 1 - page;  // any order works
  const std::vector<std::int32_t> sequences(num_tokens, 0);
  for (const TestedBackend& tested : tested_backends()) {
    const auto backend = tested.make();
    const MatrixPtr matrix = backend->load_matrix(view);
    const Batch batch = backend->stage({.tokens = sequences.data(),
                                        .positions = positions.data(),
                                        .sequences = sequences.data(),
                                        .page_tables = pages.data(),
                                        .num_tokens = num_tokens,
                                        .num_sequences = 1,
                                        .max_pages = num_pages});
    const Cache cache(*backend, KvCacheType::f32, num_pages, num_heads, head_dim);
    const BufferPtr x = on_device(*backend, input), q = unwritten(*backend, input.size());
    backend->qkv({.q = q->as<float>(),
                  .kv = cache.pages,
                  .x = x->as<float>(),
                  .w_q = matrix.get(),
                  .w_k = matrix.get(),
                  .w_v = matrix.get(),
                  .batch = &batch,
                  .num_q_heads = num_heads,
                  .num_kv_heads = num_heads,
                  .head_dim = head_dim,
                  .rope_base = 10000});
    std::vector<float> keys(input.size()), values(input.size());
    for (int token = 0; token < num_tokens; ++token)
      backend->read_kv({.key = &keys[std::size_t(token) * width],
                        .value = &values[std::size_t(token) * width],
                        .kv = cache.pages,
                        .page = pages[positions[token] / kPageSize],
                        .position_in_page = positions[token] % kPageSize,
                        .num_kv_heads = num_heads,
                        .head_dim = head_dim});
    const double gate = std::max(1e-6, tested.gates.product - 1e-6);
    check_near(read_floats(*backend, *q), expected, gate, concat(tested.name, ", queries"));
    check_near(keys, expected, gate, concat(tested.name, ", keys"));
    check_near(values, input, gate, concat(tested.name, ", values"));
  }
}

TEST_MAIN()
