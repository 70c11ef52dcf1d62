#include "testing.h"

#include <algorithm>
#include <cstring>

#include "backend/backend.h"
#include "backend/cpu/cpu.h"
#include "core/dtype.h"
#include "support/made_up.h"

using namespace grok;
using namespace grok::cpu;
using namespace grok::testing;

// qkv writes the cache and attention reads it. They share the layout of a page, so they are tested together.
namespace {

// Float32 against double over thousands of positions: up to 1e-6 measured.
constexpr double kTolerance = 3e-6;

struct Size {
  int num_q_heads, num_kv_heads, head_dim;
};

std::string name_of(const Size& size) { return concat(size.num_q_heads, "/", size.num_kv_heads, "/", size.head_dim); }

// A range of one sequence.
struct Part {
  int sequence = 0;
  int start = 0;
  int num_tokens = 0;
};

// Sequences of random keys, values and queries. Those of a position are the same in every cache of the same seed.
class Cache {
 public:
  static constexpr int kDim = 4;  // number of activations from which keys and values are projected

  struct Kind {
    std::string isa;
    KvCacheType type;
  };

  Cache(const Size& size, int num_sequences, int num_positions, const Kind& kind, int num_threads = 2)
      : size_(size),
        num_sequences_(num_sequences),
        num_positions_(num_positions),
        max_pages_((num_positions + kPageSize - 1) / kPageSize),
        backend_(make_backend({.num_threads = num_threads, .isa = kind.isa})),
        w_q_(1, kDim, std::uint64_t(size.num_q_heads) * size.head_dim, 1, 1),
        w_k_(1, kDim, std::uint64_t(size.num_kv_heads) * size.head_dim, 1, 2),
        w_v_(1, kDim, std::uint64_t(size.num_kv_heads) * size.head_dim, 1, 3),
        x_(random_floats(std::size_t(num_sequences) * num_positions * kDim, 4, 0.2f)) {
    q_matrix_ = backend_->load_matrix(w_q_.view());
    k_matrix_ = backend_->load_matrix(w_k_.view());
    v_matrix_ = backend_->load_matrix(w_v_.view());
    const std::uint64_t bytes = std::uint64_t(num_sequences) * max_pages_ *
                                backend_->footprint().kv_page_bytes(kind.type, size.num_kv_heads, size.head_dim);
    keys_ = backend_->allocate(bytes);
    values_ = backend_->allocate(bytes);
    // Garbage, like in a page that another sequence returned: data outside a token's view must not matter.
    std::memset(keys_->data(), 0xff, bytes);  // NaN, and NaN for a scale
    std::memset(values_->data(), 0xff, bytes);
    kv_ = {keys_->as<std::byte>(), values_->as<std::byte>(), kind.type};
    // Pages of the sequences are interleaved, in falling order.
    for (int sequence = 0; sequence < num_sequences; ++sequence)
      for (int page = 0; page < max_pages_; ++page)
        page_tables_.push_back((max_pages_ - 1 - page) * num_sequences + sequence);
  }

  // Writes the parts' keys and values, then attends: [num_tokens, num_q_heads, head_dim].
  std::vector<float> run(const std::vector<Part>& parts) {
    std::vector<std::int32_t> positions, sequences;
    std::vector<float> x;
    for (const Part& part : parts)
      for (int position = part.start; position < part.start + part.num_tokens; ++position) {
        positions.push_back(position);
        sequences.push_back(part.sequence);
        const auto from = x_.begin() + (std::ptrdiff_t(part.sequence) * num_positions_ + position) * kDim;
        x.insert(x.end(), from, from + kDim);
      }
    const std::vector<std::int32_t> tokens(positions.size());
    const Batch batch{.tokens = tokens.data(),
                      .positions = positions.data(),
                      .sequences = sequences.data(),
                      .page_tables = page_tables_.data(),
                      .num_tokens = int(positions.size()),
                      .num_sequences = num_sequences_,
                      .max_pages = max_pages_};
    q.assign(positions.size() * size_.num_q_heads * size_.head_dim, 0);
    std::vector<float> out(q.size());
    backend_->qkv({.q = q.data(),
                   .kv = kv_,
                   .x = x.data(),
                   .w_q = q_matrix_.get(),
                   .w_k = k_matrix_.get(),
                   .w_v = v_matrix_.get(),
                   .batch = &batch,
                   .num_q_heads = size_.num_q_heads,
                   .num_kv_heads = size_.num_kv_heads,
                   .head_dim = size_.head_dim,
                   .rope_base = 10000});
    backend_->attention({.out = out.data(),
                         .q = q.data(),
                         .kv = kv_,
                         .batch = &batch,
                         .num_q_heads = size_.num_q_heads,
                         .num_kv_heads = size_.num_kv_heads,
                         .head_dim = size_.head_dim,
                         .scale = kScale,
                         .cap = kCap});
    return out;
  }

  struct Held {
    std::vector<float> keys, values;  // [num_positions, num_kv_heads, head_dim]
  };
  Held held(int sequence, int num_positions) const {
    const int width = size_.num_kv_heads * size_.head_dim;
    Held held{std::vector<float>(std::size_t(num_positions) * width),
              std::vector<float>(std::size_t(num_positions) * width)};
    for (int position = 0; position < num_positions; ++position)
      backend_->read_kv({.key = &held.keys[std::size_t(position) * width],
                         .value = &held.values[std::size_t(position) * width],
                         .kv = kv_,
                         .page = page_tables_[sequence * max_pages_ + position / kPageSize],
                         .position_in_page = position % kPageSize,
                         .num_kv_heads = size_.num_kv_heads,
                         .head_dim = size_.head_dim});
    return held;
  }

  // Expected output for the tokens of a part, in double, from the last run's queries and the contents of the cache.
  std::vector<double> expected(const Part& part, int first_row = 0) const {
    const int head_dim = size_.head_dim, width = size_.num_kv_heads * head_dim;
    const auto [keys, values] = held(part.sequence, part.start + part.num_tokens);
    std::vector<double> out;
    for (int token = 0; token < part.num_tokens; ++token)
      for (int head = 0; head < size_.num_q_heads; ++head) {
        const float* query = &q[(std::size_t(first_row + token) * size_.num_q_heads + head) * head_dim];
        const int kv_head = head / (size_.num_q_heads / size_.num_kv_heads);
        std::vector<double> mix(head_dim);
        double weight_sum = 0;
        for (int position = 0; position <= part.start + token; ++position) {
          const std::size_t at = std::size_t(position) * width + std::size_t(kv_head) * head_dim;
          double dot = 0;
          for (int i = 0; i < head_dim; ++i) dot += double(query[i]) * keys[at + i];
          const double weight = std::exp(kCap * std::tanh(kScale * dot / kCap));
          weight_sum += weight;
          for (int i = 0; i < head_dim; ++i) mix[i] += weight * values[at + i];
        }
        for (int i = 0; i < head_dim; ++i) out.push_back(mix[i] / weight_sum);
      }
    return out;
  }

  // The activations of a position are zero, and so are its key and value.
  void silence(int position) { std::fill_n(x_.begin() + std::ptrdiff_t(position) * kDim, kDim, 0.0f); }

  std::vector<float> q;  // of the last run [num_tokens, num_q_heads, head_dim]

 private:
  static constexpr float kScale = 0.1f, kCap = 30;

  const Size size_;
  const int num_sequences_, num_positions_, max_pages_;
  const std::unique_ptr<Backend> backend_;
  const MadeUpMatrix w_q_, w_k_, w_v_;
  MatrixPtr q_matrix_, k_matrix_, v_matrix_;
  BufferPtr keys_, values_;
  KvPages kv_;
  std::vector<std::int32_t> page_tables_;
  std::vector<float> x_;  // [num_sequences, num_positions, kDim]
};

std::string name_of(const Cache::Kind& kind) { return concat(kind.isa, " ", grok::name_of(kind.type), " "); }

// Every instruction set that this CPU runs with every type of cache.
std::vector<Cache::Kind> kinds() {
  std::vector<Cache::Kind> all;
  for (const std::string& isa : usable_isas())
    for (const KvCacheType type : {KvCacheType::f32, KvCacheType::bf16, KvCacheType::int8}) all.push_back({isa, type});
  return all;
}

void check(bool condition, const std::string& what) {
  if (!condition) fail(__FILE__, __LINE__, what);
}

void check_close(const std::vector<float>& found, const std::vector<double>& expected, const std::string& what) {
  const double d = distance(found, expected);
  check(d < kTolerance, concat(what, ": distance ", d));  // also false for NaN
}

void check_run(Cache& cache, const Part& part, const std::string& what) {
  const auto found = cache.run({part});
  check_close(found, cache.expected(part), what);
}

}  // namespace

TEST("holds keys and values rounded to the nearest that the type can represent") {
  const Size size{2, 2, 40};
  constexpr int kNumTokens = kPageSize + 3, kSilent = 5;
  for (const std::string& isa : usable_isas()) {
    const auto held_by = [&](KvCacheType type) {
      Cache cache(size, 1, kNumTokens, {isa, type});
      cache.silence(kSilent);
      cache.run({{.num_tokens = kNumTokens}});
      auto [keys, values] = cache.held(0, kNumTokens);
      keys.insert(keys.end(), values.begin(), values.end());
      return keys;
    };
    const auto exact = held_by(KvCacheType::f32), bf16 = held_by(KvCacheType::bf16), int8 = held_by(KvCacheType::int8);
    for (std::size_t head = 0; head < exact.size(); head += std::size_t(size.head_dim)) {
      float largest = 0;
      for (int i = 0; i < size.head_dim; ++i) largest = std::max(largest, std::abs(exact[head + i]));
      const double step = double(largest) / 127;
      for (std::size_t i = head; i < head + std::size_t(size.head_dim); ++i) {
        CHECK_EQ(bf16[i], round_to_bf16(exact[i]));
        CHECK_NEAR(int8[i], exact[i], step * 0.5001);
        if (std::abs(exact[i]) == largest) CHECK_NEAR(int8[i], exact[i], largest * 1e-6);
      }
    }
    const std::size_t silent = std::size_t(kSilent) * size.num_kv_heads * size.head_dim;
    CHECK_EQ(int8[silent], 0.0f);
  }
}

TEST("says how large a page is: values in whole vectors, and a scale for each position in int8") {
  const auto backend = make_backend({.num_threads = 1});
  CHECK_EQ(backend->footprint().kv_page_bytes(KvCacheType::f32, 8, 128), 8u * kPageSize * 128 * 4);
  CHECK_EQ(backend->footprint().kv_page_bytes(KvCacheType::bf16, 8, 128), 8u * kPageSize * 128 * 2);
  CHECK_EQ(backend->footprint().kv_page_bytes(KvCacheType::int8, 8, 128), 8u * kPageSize * (128 + 4));
  CHECK_EQ(backend->footprint().kv_page_bytes(KvCacheType::bf16, 1, 18), 1u * kPageSize * 32 * 2);
}

TEST("agrees with double arithmetic for odd sizes and ratios of heads, whatever lies beyond the last position") {
  for (const Cache::Kind& kind : kinds())
    for (const Size size : {Size{1, 1, 8}, Size{2, 2, 18}, Size{8, 2, 24}, Size{5, 1, 40}, Size{14, 2, 72},
                            Size{6, 1, 128}, Size{9, 1, 64}, Size{3, 3, 16}}) {
      // One token, a page less one, a page, one more, and beyond.
      for (const int num_tokens : {1, kPageSize - 1, kPageSize, kPageSize + 1, 2 * kPageSize + 29}) {
        Cache cache(size, 1, num_tokens, kind);
        check_run(cache, {.num_tokens = num_tokens}, concat(name_of(kind), name_of(size), " x ", num_tokens));
      }
    }
}

TEST("one token after thousands agrees with double arithmetic") {
  for (const Cache::Kind& kind : kinds())
    for (const Size size : {Size{6, 1, 128}, Size{2, 1, 18}}) {
      Cache cache(size, 1, 4100, kind);
      cache.run({{.num_tokens = 4099}});
      const Part last{.start = 4099, .num_tokens = 1};
      check_run(cache, last, concat(name_of(kind), name_of(size)));
    }
}

TEST("a chunk of a prompt after a long beginning agrees with double arithmetic, also at the diagonal") {
  for (const Cache::Kind& kind : kinds()) {
    Cache cache({6, 1, 40}, 1, 700, kind);
    cache.run({{.num_tokens = 601}});
    const Part chunk{.start = 601, .num_tokens = 99};
    check_run(cache, chunk, name_of(kind));
  }
}

TEST("several sequences, some at a prompt and some at one token, each agree with double arithmetic") {
  for (const Cache::Kind& kind : kinds()) {
    Cache cache({4, 2, 24}, 3, 900, kind);
    cache.run({{.sequence = 1, .num_tokens = 899}, {.sequence = 2, .num_tokens = 130}});
    const Part parts[] = {{.sequence = 2, .start = 130, .num_tokens = 1},
                          {.sequence = 0, .num_tokens = 70},
                          {.sequence = 1, .start = 899, .num_tokens = 1}};
    const auto found = cache.run({parts, parts + 3});
    int first_row = 0;
    for (const Part& part : parts) {
      const auto from = found.begin() + std::ptrdiff_t(first_row) * 4 * 24;
      check_close({from, from + std::ptrdiff_t(part.num_tokens) * 4 * 24}, cache.expected(part, first_row),
                  concat(name_of(kind), "sequence ", part.sequence));
      first_row += part.num_tokens;
    }
  }
}

TEST("gives a token the same bits in a prompt, in chunks of any size and alone") {
  constexpr int kNumTokens = 5 * kPageSize + 11;  // more than one span
  for (const Cache::Kind& kind : kinds())
    for (const Size size : {Size{6, 1, 40}, Size{3, 3, 18}, Size{16, 2, 8}}) {
      const auto at_once = Cache(size, 1, kNumTokens, kind).run({{.num_tokens = kNumTokens}});
      for (const int chunk : {1, 5, 64, 100}) {
        Cache cache(size, 1, kNumTokens, kind);
        std::vector<float> found;
        for (int start = 0; start < kNumTokens; start += chunk) {
          const auto out = cache.run({{.start = start, .num_tokens = std::min(chunk, kNumTokens - start)}});
          found.insert(found.end(), out.begin(), out.end());
        }
        check(found == at_once, concat(name_of(kind), name_of(size), " in chunks of ", chunk));
      }
    }
}

TEST("gives a token the same bits whatever sequences are beside it, and however many threads there are") {
  const Size size{6, 2, 24};
  // Numbers of spans that are powers of two, and others.
  for (const int start : {1200, 2000, 2900})
    for (const Cache::Kind& kind : kinds()) {
      const Part decode{.sequence = 0, .start = start, .num_tokens = 1};
      std::vector<float> alone;
      for (const int num_threads : {1, 2, 3, 16}) {
        Cache cache(size, 3, start + 1, kind, num_threads);
        cache.run({{.sequence = 0, .num_tokens = start}, {.sequence = 1, .num_tokens = 300}});
        const auto found = cache.run({decode});
        if (alone.empty()) alone = found;
        check(found == alone, concat(name_of(kind), "alone with ", num_threads, " threads"));

        const auto together =
            cache.run({{.sequence = 2, .num_tokens = 90}, decode, {.sequence = 1, .start = 300, .num_tokens = 7}});
        const auto from = together.begin() + 90 * std::ptrdiff_t(alone.size());
        check(std::equal(alone.begin(), alone.end(), from), concat(name_of(kind), "beside others with ", num_threads));
      }
    }
}

TEST_MAIN()
