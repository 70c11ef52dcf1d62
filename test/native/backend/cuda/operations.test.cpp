#include "testing.h"

#include <algorithm>
#include <numeric>

#include "backend/cpu/cpu.h"
#include "backend/cuda/cuda.h"
#include "support/golden.h"
#include "support/made_up.h"
#include "support/on_device.h"

using namespace grok;
using namespace grok::cuda;
using namespace grok::testing;

// Each operation beside the CPU backend, which is the truth: odd sizes, one of everything, more than a block of everything.
namespace {

std::unique_ptr<Backend> on_cuda(int num_digits = 3) { return make_cuda_backend({.num_digits = num_digits}); }
std::unique_ptr<Backend> on_cpu() { return cpu::make_cpu_backend({.num_threads = 1, .isa = "portable"}); }

// Two orders of the same float sums.
constexpr double kTolerance = 2e-6;

TablePtr table_of(Backend& backend, const std::vector<float>& rows, int vocab_size) {
  const Bytes source(rows);
  return backend.load_table(
      {DType::f32, {std::uint64_t(vocab_size), rows.size() / std::size_t(vocab_size)}, &source, 0});
}

std::vector<std::int32_t> random_ints(std::size_t size, int below, unsigned seed) {
  std::mt19937 generator(seed);
  std::vector<std::int32_t> values(size);
  for (auto& value : values) value = std::int32_t(generator() % unsigned(below));
  return values;
}

// Tokens of several sequences, at positions of which some are far apart, in pages of no order.
struct MadeUpBatch {
  MadeUpBatch(const std::vector<int>& positions_of_tokens, int num_sequences, int num_pages_each, int vocab_size)
      : positions(positions_of_tokens.begin(), positions_of_tokens.end()),
        tokens(random_ints(positions.size(), vocab_size, 5)),
        pages(std::size_t(num_sequences) * num_pages_each) {
    for (std::size_t token = 0; token < positions.size(); ++token) sequences.push_back(int(token) % num_sequences);
    std::iota(pages.begin(), pages.end(), 0);
    std::shuffle(pages.begin(), pages.end(), std::mt19937(3));
    batch = {.tokens = tokens.data(),
             .positions = positions.data(),
             .sequences = sequences.data(),
             .page_tables = pages.data(),
             .output_rows = nullptr,
             .num_tokens = int(positions.size()),
             .num_sequences = num_sequences,
             .max_pages = num_pages_each,
             .num_outputs = 0};
  }
  std::vector<std::int32_t> positions, tokens, sequences, pages;
  Batch batch;
};

constexpr KvCacheType kCacheTypes[] = {KvCacheType::f32, KvCacheType::bf16, KvCacheType::int8};

// A cache whose bytes are those of one float32, so that a place that is not written can be told.
struct Cache {
  Cache(Backend& backend, KvCacheType type, int num_pages, int num_kv_heads, int head_dim, float unwritten = -7)
      : num_pages(num_pages), num_kv_heads(num_kv_heads), head_dim(head_dim) {
    const std::size_t size_bytes =
        std::size_t(num_pages) * backend.footprint().kv_page_bytes(type, num_kv_heads, head_dim);
    keys = on_device(backend, std::vector<float>(size_bytes / sizeof(float), unwritten));
    values = on_device(backend, std::vector<float>(size_bytes / sizeof(float), unwritten));
    pages = {keys->as<std::byte>(), values->as<std::byte>(), type};
  }
  // [num_pages, kPageSize, 2, num_kv_heads, head_dim]
  std::vector<float> read(Backend& backend) const {
    const int width = num_kv_heads * head_dim;
    std::vector<float> all(std::size_t(num_pages) * kPageSize * 2 * width);
    for (int place = 0; place < num_pages * kPageSize; ++place)
      backend.read_kv({.key = &all[std::size_t(place) * 2 * width],
                       .value = &all[(std::size_t(place) * 2 + 1) * width],
                       .kv = pages,
                       .page = place / kPageSize,
                       .position_in_page = place % kPageSize,
                       .num_kv_heads = num_kv_heads,
                       .head_dim = head_dim});
    return all;
  }
  int num_pages, num_kv_heads, head_dim;
  BufferPtr keys, values;
  KvPages pages;
};

void check_near(const std::vector<float>& found, const std::vector<float>& expected, double tolerance,
                const std::string& what) {
  const double d = distance(found, expected);
  if (found.size() != expected.size() || !(d <= tolerance)) fail(__FILE__, __LINE__, concat(what, ": ", d, " away"));
}

}  // namespace

// Bit for bit would take the table a second time, as float32. Its three digits hold a row to 2^-24 of the row's largest.
TEST("embeds the rows that the tokens name, as closely as a float32 holds a row's largest value") {
  const int vocab_size = 50, d_model = 37;
  const auto rows = random_floats(vocab_size * d_model, 1);
  MadeUpBatch made_up({0, 1, 2, 3, 9}, 1, 1, vocab_size);
  const auto backend = on_cuda();
  const TablePtr table = table_of(*backend, rows, vocab_size);
  const Batch batch = backend->stage(made_up.batch);
  const BufferPtr out = unwritten(*backend, 5 * d_model);
  backend->embed({.out = out->as<float>(), .table = table.get(), .batch = &batch, .scale = 78.5f});
  const auto found = read_floats(*backend, *out);
  for (int place = 0; place < int(found.size()); ++place) {
    const float* row = &rows[made_up.tokens[place / d_model] * d_model];
    float largest = 0;
    for (int i = 0; i < d_model; ++i) largest = std::max(largest, std::abs(row[i]));
    CHECK_NEAR(found[place], row[place % d_model] * 78.5f, largest * 78.5f * 0x1p-22);
  }
}

TEST("norms and adds as the CPU does, also where the epsilon matters") {
  for (const int d_model : {1, 48, 376, 2050, 6144, 6148})  // in registers, but for 1, 2,050 and 6,148
    for (const float spread : {1.0f, 1e-3f}) {
      const int num_tokens = 3;
      const auto x = random_floats(num_tokens * d_model, 1, spread), y = random_floats(num_tokens * d_model, 2, spread);
      const auto post = random_floats(d_model, 3), pre = random_floats(d_model, 4);
      std::vector<float> normed[2], residual[2], added[2];
      for (const bool is_cuda : {false, true}) {
        const auto backend = is_cuda ? on_cuda() : on_cpu();
        const BufferPtr x_ = on_device(*backend, x), y_ = on_device(*backend, y), post_ = on_device(*backend, post),
                        pre_ = on_device(*backend, pre), out = unwritten(*backend, x.size());
        backend->norm({.out = out->as<float>(),
                       .x = x_->as<float>(),
                       .weight = pre_->as<float>(),
                       .num_tokens = num_tokens,
                       .d_model = d_model,
                       .eps = 1e-5f});
        normed[is_cuda] = read_floats(*backend, *out);
        backend->add_norm({.residual = x_->as<float>(),
                           .out = out->as<float>(),
                           .y = y_->as<float>(),
                           .post_weight = post_->as<float>(),
                           .pre_weight = pre_->as<float>(),
                           .num_tokens = num_tokens,
                           .d_model = d_model,
                           .eps = 1e-5f});
        residual[is_cuda] = read_floats(*backend, *x_);
        added[is_cuda] = read_floats(*backend, *out);
      }
      const std::string what = concat("d_model ", d_model, ", spread ", spread);
      check_near(normed[1], normed[0], kTolerance, what);
      check_near(residual[1], residual[0], kTolerance, what);
      check_near(added[1], added[0], kTolerance, what);
    }
}

TEST("projects, rotates and writes each token's place in the cache and no other") {
  struct Heads {
    int q, kv, head_dim;
    std::uint64_t groups_of_q, groups_of_kv;
  };
  for (const KvCacheType type : kCacheTypes)
    for (const Heads heads : {Heads{4, 2, 4, 1, 1}, Heads{6, 1, 16, 1, 2}, Heads{12, 2, 128, 4, 1}}) {
      const int d_model = 40, num_pages = 6, num_sequences = 2, width = 2 * heads.kv * heads.head_dim;
      const std::uint64_t q_width = heads.q * heads.head_dim, kv_width = heads.kv * heads.head_dim;
      std::vector<int> positions = {0, 5, 63, 64, 65, 191, 100};
      for (int more = 0; more < 60; ++more) positions.push_back(110 + more);  // past what one product takes
      MadeUpBatch made_up(positions, num_sequences, num_pages / num_sequences, 10);
      const MadeUpMatrix w_q(1, d_model, q_width, heads.groups_of_q, 1),
          w_k(1, d_model, kv_width, heads.groups_of_kv, 2), w_v(1, d_model, kv_width, heads.groups_of_kv, 3);
      const auto x = random_floats(made_up.positions.size() * d_model, 4);
      std::vector<float> q[2], cache[2];
      std::vector<bool> is_written(num_pages * kPageSize);
      for (const bool is_cuda : {false, true}) {
        const auto backend = is_cuda ? on_cuda() : on_cpu();
        const MatrixPtr q_ = backend->load_matrix(w_q.view()), k_ = backend->load_matrix(w_k.view()),
                        v_ = backend->load_matrix(w_v.view());
        const BufferPtr x_ = on_device(*backend, x), out = unwritten(*backend, made_up.positions.size() * q_width);
        const Cache kv(*backend, type, num_pages, heads.kv, heads.head_dim);
        const auto before = kv.read(*backend);
        const Batch batch = backend->stage(made_up.batch);
        backend->qkv({.q = out->as<float>(),
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
        q[is_cuda] = read_floats(*backend, *out);
        const auto after = kv.read(*backend);
        for (std::size_t token = 0; token < positions.size(); ++token) {
          const int page =
              made_up.pages[made_up.sequences[token] * made_up.batch.max_pages + positions[token] / kPageSize];
          is_written[page * kPageSize + positions[token] % kPageSize] = true;
        }
        for (int place = 0; place < num_pages * kPageSize; ++place) {
          const auto start = after.begin() + place * width;
          if (is_written[place])
            cache[is_cuda].insert(cache[is_cuda].end(), start, start + width);
          else
            CHECK(std::equal(start, start + width, before.begin() + place * width));
        }
      }
      check_near(q[1], q[0], kTolerance, "q");
      // A value at the edge between two roundings may fall to either side.
      check_near(cache[1], cache[0], type == KvCacheType::f32 ? kTolerance : 5e-4, concat("cache of ", name_of(type)));
    }
}

TEST("rotation is exact up to position 8191") {
  const Golden units(golden_path("units/units.safetensors"));
  const auto input = units.floats("rope/input"), expected = units.floats("exact/rope/output");
  const auto positions = units.ints("rope/positions");
  const int num_tokens = int(positions.size()), num_heads = 2, head_dim = 128, width = num_heads * head_dim;
  MadeUpMatrix made_up(1, width, width, 1, 1);
  std::vector<std::int8_t> identity(width * width);
  for (int i = 0; i < width; ++i) identity[i * width + i] = 1;
  const std::vector<std::uint16_t> ones(width, f32_to_bf16(1.0f));
  const Bytes weights(identity), scales(ones);
  const QuantizedView view{{DType::i8, {std::uint64_t(width), std::uint64_t(width)}, &weights, 0},
                           {DType::bf16, {1, std::uint64_t(width)}, &scales, 0}};
  const auto backend = on_cuda();
  const MatrixPtr matrix = backend->load_matrix(view);
  const std::vector<std::int32_t> pages(8192 / kPageSize, 0), sequences(num_tokens, 0);
  const Batch batch = backend->stage({.tokens = sequences.data(),
                                      .positions = positions.data(),
                                      .sequences = sequences.data(),
                                      .page_tables = pages.data(),
                                      .num_tokens = num_tokens,
                                      .num_sequences = 1,
                                      .max_pages = 8192 / kPageSize});
  const Cache cache(*backend, KvCacheType::f32, 1, num_heads, head_dim);
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
  CHECK(distance(read_floats(*backend, *q), expected) < 1e-6);
}

TEST("attends over pages, splits and heads as the CPU does, with logits far past the cap") {
  struct Heads {
    int q, kv, head_dim;
    KvCacheType type;
  };
  for (const Heads heads :
       {Heads{2, 2, 2, KvCacheType::f32}, Heads{3, 1, 8, KvCacheType::bf16}, Heads{10, 1, 40, KvCacheType::int8},
        Heads{12, 2, 128, KvCacheType::f32}, Heads{6, 1, 128, KvCacheType::bf16}, Heads{6, 1, 128, KvCacheType::int8},
        Heads{2, 1, 6, KvCacheType::bf16}, Heads{2, 2, 10, KvCacheType::int8}, Heads{3, 1, 136, KvCacheType::f32}}) {
    const int num_sequences = 2, pages_each = 9, d_model = 16;
    const std::uint64_t q_width = heads.q * heads.head_dim, kv_width = heads.kv * heads.head_dim;
    // The cache is the backend's own: it is filled by projecting something for every position of both sequences.
    std::vector<int> everywhere;
    for (int position = 0; position <= 573; ++position)  // what lies behind must not matter
      for (int sequence = 0; sequence < num_sequences; ++sequence) everywhere.push_back(position);
    MadeUpBatch filling(everywhere, num_sequences, pages_each, 10);
    MadeUpBatch made_up({0, 63, 64, 255, 256, 257, 511, 573}, num_sequences, pages_each, 10);
    const MadeUpMatrix w_q(1, d_model, q_width, 1, 1), w_kv(1, d_model, kv_width, 1, 2);
    const auto x = random_floats(everywhere.size() * d_model, 4, 0.3f);  // keys of some 4, and logits past 30
    const auto q = random_floats(made_up.positions.size() * q_width, 1, 5);
    std::vector<float> out[2];
    for (const bool is_cuda : {false, true}) {
      const auto backend = is_cuda ? on_cuda() : on_cpu();
      const MatrixPtr q_matrix = backend->load_matrix(w_q.view()), kv_matrix = backend->load_matrix(w_kv.view());
      const BufferPtr x_ = on_device(*backend, x), q_ = on_device(*backend, q),
                      ignored = unwritten(*backend, everywhere.size() * q_width), out_ = unwritten(*backend, q.size());
      const Cache kv(*backend, heads.type, num_sequences * pages_each, heads.kv, heads.head_dim, std::nanf(""));
      const Batch all = backend->stage(filling.batch);
      backend->qkv({.q = ignored->as<float>(),
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
      const Batch batch = backend->stage(made_up.batch);
      backend->attention({.out = out_->as<float>(),
                          .q = q_->as<float>(),
                          .kv = kv.pages,
                          .batch = &batch,
                          .num_q_heads = heads.q,
                          .num_kv_heads = heads.kv,
                          .head_dim = heads.head_dim,
                          .scale = 1 / std::sqrt(float(heads.head_dim)),
                          .cap = 30});
      out[is_cuda] = read_floats(*backend, *out_);
    }
    // Weights are e^logit: a logit near 30 is good to 2e-6 only, and to less where keys were rounded to either side.
    check_near(out[1], out[0], heads.type == KvCacheType::f32 ? 2e-5 : 5e-3,
               concat(heads.q, " heads of ", heads.head_dim, ", ", name_of(heads.type)));
  }
}

TEST("refuses keys that are longer than a warp has registers for") {
  const auto backend = on_cuda();
  CHECK_ERROR(backend->attention({.num_q_heads = 1, .num_kv_heads = 1, .head_dim = 1026}), ErrorCode::unsupported,
              "head_dim to be at most 1024, found 1026");
}

TEST("routes to the same experts with the same gates, ties to the lower id") {
  struct Case {
    int d_model, num_experts, experts_per_token;
  };
  for (const Case shape : {Case{333, 11, 3}, Case{5, 8, 2}, Case{6200, 8, 8}, Case{2100, 64, 40}, Case{16, 1, 1}}) {
    const int num_tokens = 5, d_model = shape.d_model, num_experts = shape.num_experts,
              experts_per_token = shape.experts_per_token;
    auto x = random_floats(num_tokens * d_model, 1);
    std::fill_n(x.begin(), d_model, 0.0f);  // all experts alike
    const auto router = random_floats(d_model * num_experts, 2);
    std::vector<std::int32_t> experts[2];
    std::vector<float> gates[2], logits[2];
    for (const bool is_cuda : {false, true}) {
      const auto backend = is_cuda ? on_cuda() : on_cpu();
      const BufferPtr x_ = on_device(*backend, x), router_ = on_device(*backend, router),
                      experts_ = unwritten(*backend, num_tokens * experts_per_token),
                      gates_ = unwritten(*backend, num_tokens * experts_per_token),
                      logits_ = unwritten(*backend, num_tokens * num_experts);
      backend->route({.experts = experts_->as<std::int32_t>(),
                      .gates = gates_->as<float>(),
                      .logits = logits_->as<float>(),
                      .x = x_->as<float>(),
                      .router = router_->as<float>(),
                      .num_tokens = num_tokens,
                      .d_model = d_model,
                      .num_experts = num_experts,
                      .experts_per_token = experts_per_token});
      experts[is_cuda] = read_ints(*backend, *experts_);
      gates[is_cuda] = read_floats(*backend, *gates_);
      logits[is_cuda] = read_floats(*backend, *logits_);
    }
    CHECK(experts[1] == experts[0]);
    for (int rank = 0; rank < experts_per_token; ++rank) CHECK_EQ(experts[1][rank], rank);
    const std::string what = concat(num_experts, " experts, d_model ", d_model);
    check_near(gates[1], gates[0], 1e-7, concat("gates of ", what));
    check_near(logits[1], logits[0], 1e-7, concat("logits of ", what));
  }
}

TEST("tells experts apart whose logits are a billionth of the products apart") {
  // Two large products that leave nothing, and of every other row a little: more for the second expert.
  const int d_model = 6144, num_experts = 8;
  std::vector<float> x(d_model, 1.0f), router(d_model * num_experts, 1e-9f);
  for (int expert = 0; expert < num_experts; ++expert) {
    router[expert] = 1.0f;
    router[512 * num_experts + expert] = -1.0f;
    router[1024 * num_experts + expert] = expert == 1 ? 2e-9f : 1e-9f;
  }
  const auto backend = on_cuda();
  const BufferPtr x_ = on_device(*backend, x), router_ = on_device(*backend, router), expert = unwritten(*backend, 1),
                  gate = unwritten(*backend, 1), logits = unwritten(*backend, num_experts);
  backend->route({.experts = expert->as<std::int32_t>(),
                  .gates = gate->as<float>(),
                  .logits = logits->as<float>(),
                  .x = x_->as<float>(),
                  .router = router_->as<float>(),
                  .num_tokens = 1,
                  .d_model = d_model,
                  .num_experts = num_experts,
                  .experts_per_token = 1});
  CHECK_EQ(read_ints(*backend, *expert)[0], 1);
}

TEST("mixes experts whatever the routing: spread, all tokens to one, some experts without a token") {
  struct Case {
    int num_tokens, num_experts, experts_per_token;
    std::uint64_t d_model, d_ff, groups_of_down;
    bool all_to_two;
  };
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
    for (const int num_digits : {2, 3}) {
      std::vector<float> out[2];
      for (const bool is_cuda : {false, true}) {
        const auto backend = is_cuda ? on_cuda(num_digits) : on_cpu();
        const MatrixPtr gate_ = backend->load_matrix(w_gate.view()), up_ = backend->load_matrix(w_up.view()),
                        down_ = backend->load_matrix(w_down.view());
        const BufferPtr x_ = on_device(*backend, x), gates_ = on_device(*backend, gates),
                        out_ = unwritten(*backend, x.size());
        // The batch is how integers reach a backend.
        const Batch ids = backend->stage({.tokens = experts.data(),
                                          .positions = experts.data(),
                                          .sequences = experts.data(),
                                          .page_tables = experts.data(),
                                          .output_rows = experts.data(),
                                          .num_tokens = int(num_slots)});
        backend->experts({.out = out_->as<float>(),
                          .x = x_->as<float>(),
                          .experts = ids.tokens,
                          .gates = gates_->as<float>(),
                          .w_gate = gate_.get(),
                          .w_up = up_.get(),
                          .w_down = down_.get(),
                          .num_tokens = shape.num_tokens,
                          .experts_per_token = shape.experts_per_token});
        out[is_cuda] = read_floats(*backend, *out_);
      }
      // Two digits: 15 bits of the largest value of a slice, through three products.
      check_near(out[1], out[0], num_digits == 2 ? 3e-4 : 3e-6,
                 concat(shape.num_tokens, " tokens, d_model ", shape.d_model, ", ", num_digits, " digits"));
    }
  }
}

TEST("logits are those of the rows asked for, and the same bits alone and together") {
  const int vocab_size = 77, d_model = 90, num_tokens = 7;
  const auto rows = random_floats(vocab_size * d_model, 1), x = random_floats(num_tokens * d_model, 2);
  const std::vector<std::int32_t> outputs = {6, 0, 3, 3, 1};
  MadeUpBatch made_up(std::vector<int>(num_tokens, 0), 1, 1, vocab_size);
  std::vector<float> found[2], alone;
  for (const bool is_cuda : {false, true}) {
    const auto backend = is_cuda ? on_cuda() : on_cpu();
    const TablePtr table = table_of(*backend, rows, vocab_size);
    const BufferPtr x_ = on_device(*backend, x);
    const auto logits_of = [&](std::vector<std::int32_t> wanted) {
      made_up.batch.output_rows = wanted.data();
      made_up.batch.num_outputs = int(wanted.size());
      const Batch batch = backend->stage(made_up.batch);
      const BufferPtr out = unwritten(*backend, wanted.size() * vocab_size);
      backend->logits(
          {.out = out->as<float>(), .x = x_->as<float>(), .table = table.get(), .batch = &batch, .scale = 0.5f});
      return read_floats(*backend, *out);
    };
    found[is_cuda] = logits_of(outputs);
    alone.clear();
    for (const std::int32_t output : outputs) {
      const auto row = logits_of({output});
      alone.insert(alone.end(), row.begin(), row.end());
    }
  }
  check_near(found[1], found[0], kTolerance, "logits");
  CHECK(alone == found[1]);
}

TEST_MAIN()
