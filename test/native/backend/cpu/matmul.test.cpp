#include "testing.h"

#include <algorithm>
#include <limits>

#include "backend/backend.h"
#include "backend/cpu/cpu.h"
#include "backend/cpu/isa/kernels.h"
#include "support/made_up.h"

using namespace grok;
using namespace grok::cpu;
using namespace grok::testing;

namespace {

// Every kind of product that this CPU runs: of each instruction set, and with 24-bit activations if 16 bits are usual.
std::vector<Options> every_product() {
  std::vector<Options> all;
  for (const Kernels* kernels : usable_kernels()) {
    all.push_back({.isa = kernels->isa});
    if (kernels->precise_product) all.push_back({.isa = kernels->isa, .is_precise = true});
  }
  return all;
}

// Float32 sums, or exact sums of 24-bit activations: measured 1e-7 .. 3e-7. Activations of 16 bits: 3e-5.
double tolerance(const Options& options) {
  const bool has_16_bits = options.isa == "avx2" || options.isa == "avx512" || options.isa == "amx";
  return has_16_bits && !options.is_precise ? 1e-4 : 1e-6;
}

std::unique_ptr<Backend> make(Options options, int num_threads, WeightStorage weights = WeightStorage::packed) {
  options.num_threads = num_threads;
  options.weights = weights;
  return make_backend(options);
}

std::vector<float> product(Backend& backend, const Matrix& matrix, const std::vector<float>& x, int num_tokens,
                           int d_out) {
  std::vector<float> out(std::size_t(num_tokens) * d_out);
  backend.attention_out({.out = out.data(), .x = x.data(), .w = &matrix, .num_tokens = num_tokens});
  return out;
}

}  // namespace

TEST("refuses an instruction set that it or this CPU does not have, and names those it has") {
  const auto isas = usable_isas();
  for (const std::string isa : {"mmx", "amx", "avx512", "avx2", "neon"}) {
    if (std::find(isas.begin(), isas.end(), isa) != isas.end()) continue;
    CHECK_ERROR(make_backend({.num_threads = 1, .isa = isa}), ErrorCode::invalid_argument, "portable");
  }
}

TEST("a whole number that an activation can hold comes through a product unchanged") {
  for (const Kernels* kernels : usable_kernels())
    for (const ProductKernels* of : {&kernels->product, kernels->precise_product}) {
      if (!of) continue;
      // Chosen so that the scale is 1, with a carry from one byte to the next.
      const int largest = of->largest > 0 ? int(of->largest) : 1 << 23;
      std::vector<float> x = {float(largest), 0};
      for (const int magnitude : {0x80, 0x8000, 0x8080, 0x7f80, 0x7f7f80, largest})
        for (const int whole : {magnitude - 1, magnitude, magnitude + 1})
          if (whole <= largest) x.insert(x.end(), {float(whole), float(-whole)});
      const std::uint64_t width = x.size();
      MadeUpMatrix identity(1, width, width, 1, 1);
      for (std::uint64_t i = 0; i < width * width; ++i) identity.weights[i] = i % (width + 1) == 0;
      std::fill(identity.scales.begin(), identity.scales.end(), f32_to_bf16(1.0f));
      const Bytes weights(identity.weights), scales(identity.scales);
      const Linear view{{DType::i8, {width, width}, &weights, 0}, {DType::bf16, {1, width}, &scales, 0}};

      const auto backend =
          make_backend({.num_threads = 1, .isa = kernels->isa, .is_precise = of == kernels->precise_product});
      CHECK(product(*backend, *backend->load_matrix(view), x, 1, int(width)) == x);
    }
}

TEST("multiplies matrices of odd sizes and any number of scale groups, on every instruction set") {
  struct Size {
    std::uint64_t d_in, d_out, num_groups;
  };
  for (const Options& options : every_product())
    for (const Size size : {Size{8, 8, 8}, Size{48, 48, 8}, Size{376, 40, 1}, Size{384, 376, 8}, Size{1024, 33, 8},
                            Size{2600, 70, 2}, Size{44, 33, 1}, Size{1, 1, 1}}) {
      const auto backend = make(options, 2);
      const MadeUpMatrix made_up(1, size.d_in, size.d_out, size.num_groups, 7);
      const MatrixPtr matrix = backend->load_matrix(made_up.view());
      for (const int num_tokens : {1, 2, 3, 4, 5, 6, 7, 13, 16, 17, 29, 140}) {
        const auto x = random_floats(num_tokens * size.d_in, num_tokens);
        std::vector<double> expected(num_tokens * size.d_out);
        for (int token = 0; token < num_tokens; ++token)
          for (std::uint64_t row = 0; row < size.d_in; ++row)
            for (std::uint64_t column = 0; column < size.d_out; ++column)
              expected[token * size.d_out + column] += double(x[token * size.d_in + row]) * made_up.at(0, row, column);
        CHECK(distance(product(*backend, *matrix, x, num_tokens, int(size.d_out)), expected) < tolerance(options));
      }
    }
}

TEST("gives a token the same bits whatever tokens are beside it, and however many threads there are") {
  for (const Options& options : every_product()) {
    const auto one = make(options, 1), two = make(options, 2);
    const MadeUpMatrix made_up(1, 512, 768, 8, 3);
    const MatrixPtr for_one = one->load_matrix(made_up.view()), for_two = two->load_matrix(made_up.view());
    const auto x = random_floats(11 * 512, 1);
    const auto together = product(*two, *for_two, x, 11, 768);
    for (int token = 0; token < 11; ++token) {
      const std::vector<float> alone_x(x.begin() + token * 512, x.begin() + (token + 1) * 512);
      const auto alone = product(*one, *for_one, alone_x, 1, 768);
      CHECK(std::equal(alone.begin(), alone.end(), together.begin() + token * 768));
    }
  }
}

TEST("sums do not overflow however long, however large and however alike the numbers are") {
  for (const Options& options : every_product())
    for (const std::int8_t weight : {std::int8_t(127), std::int8_t(-128)})
      for (const float sign : {1.0f, -1.0f}) {
        const auto backend = make(options, 1);
        const std::uint64_t d_in = 65536, d_out = 3;  // the maximum for 32 bits
        MadeUpMatrix made_up(1, d_in, d_out, 1, 7);
        const Bytes weights(std::vector<std::int8_t>(d_in * d_out, weight));
        Linear view = made_up.view();
        view.weight.source = &weights;
        const MatrixPtr matrix = backend->load_matrix(view);
        for (const int num_tokens : {1, 8, 20}) {
          const std::vector<float> x(num_tokens * d_in, sign);
          const auto found = product(*backend, *matrix, x, num_tokens, int(d_out));
          for (std::size_t i = 0; i < found.size(); ++i) {
            const double expected = double(d_in) * weight * sign * bf16_to_f32(made_up.scales[i % d_out]);
            CHECK_NEAR(found[i], expected, tolerance(options) * std::abs(expected));
          }
        }
      }
}

TEST("refuses a scale for more inputs than 32 bits can add up, before anything is loaded") {
  const auto backend = make_backend({.num_threads = 1});
  const MadeUpMatrix made_up(1, 65537, 1, 1, 7);
  CHECK_ERROR(backend->footprint().matrix_bytes(made_up.view()), ErrorCode::unsupported, "found 65537");
  CHECK_ERROR(backend->load_matrix(made_up.view()), ErrorCode::unsupported, "found 65537");
  const auto mapped = make_backend({.num_threads = 1, .weights = WeightStorage::mapped});
  CHECK_ERROR(mapped->footprint().matrix_bytes(made_up.view()), ErrorCode::unsupported, "found 65537");
}

TEST("tiles and dot products of bytes give the same bits") {
  const auto isas = usable_isas();
  if (isas.front() != "amx") {
    std::printf("       SKIPPED: this CPU has no AMX\n");
    return;
  }
  const MadeUpMatrix made_up(1, 1000, 96, 2, 5);
  const auto x = random_floats(21 * 1000, 2);
  for (const bool is_precise : {false, true}) {
    std::vector<float> results[2];
    for (const int which : {0, 1}) {
      const auto backend = make({.isa = which == 0 ? "amx" : "avx512", .is_precise = is_precise}, 2);
      const MatrixPtr matrix = backend->load_matrix(made_up.view());
      results[which] = product(*backend, *matrix, x, 21, 96);
    }
    CHECK(results[0] == results[1]);
  }
}

TEST("activations that are zero, tiny, infinite or NaN do not disturb the tokens beside them") {
  for (const Options& options : every_product()) {
    const auto backend = make(options, 1);
    const MadeUpMatrix made_up(1, 128, 32, 1, 5);
    const MatrixPtr matrix = backend->load_matrix(made_up.view());
    auto x = random_floats(6 * 128, 2);
    const auto good = product(*backend, *matrix, x, 6, 32);
    std::fill_n(x.begin(), 128, 0.0f);
    std::fill_n(x.begin() + 128, 128, 1e-38f);
    x[2 * 128 + 5] = std::numeric_limits<float>::infinity();
    x[3 * 128 + 7] = std::numeric_limits<float>::quiet_NaN();
    const auto found = product(*backend, *matrix, x, 6, 32);
    for (int column = 0; column < 32; ++column) {
      CHECK_EQ(found[column], 0.0f);
      CHECK_NEAR(found[32 + column], 0.0f, 1e-30);
      CHECK(!std::isfinite(found[2 * 32 + column]));
      CHECK(std::isnan(found[3 * 32 + column]));
      CHECK_EQ(found[4 * 32 + column], good[4 * 32 + column]);
      CHECK_EQ(found[5 * 32 + column], good[5 * 32 + column]);
    }
  }
}

TEST("a mapped matrix gives the bits of a packed one, whatever its size, the tokens and the threads") {
  struct Size {
    std::uint64_t d_in, d_out, num_groups;
  };
  for (const Options& options : every_product())
    for (const int num_threads : {1, 2})
      for (const Size size : {Size{8, 8, 8}, Size{376, 40, 1}, Size{384, 376, 8}, Size{1030, 33, 2},
                              Size{2600, 1030, 2}, Size{1, 1, 1}}) {
        const auto packed = make(options, num_threads), mapped = make(options, num_threads, WeightStorage::mapped);
        const MadeUpMatrix made_up(1, size.d_in, size.d_out, size.num_groups, 7);
        const MatrixPtr in_memory = packed->load_matrix(made_up.view()), in_file = mapped->load_matrix(made_up.view());
        for (const int num_tokens : {1, 2, 3, 5, 16, 17, 29, 140}) {
          const auto x = random_floats(num_tokens * size.d_in, num_tokens);
          CHECK(product(*mapped, *in_file, x, num_tokens, int(size.d_out)) ==
                product(*packed, *in_memory, x, num_tokens, int(size.d_out)));
        }
      }
}

TEST("mapped experts give the bits of packed ones") {
  constexpr int kNumExperts = 5, kModel = 200, kFf = 328, kTopK = 2;
  const MadeUpMatrix gate(kNumExperts, kModel, kFf, 2, 1), up(kNumExperts, kModel, kFf, 2, 2),
      down(kNumExperts, kFf, kModel, 8, 3);
  for (const Options& options : every_product())
    for (const int num_tokens : {1, 3, 60}) {
      const auto x = random_floats(std::size_t(num_tokens) * kModel, num_tokens);
      std::vector<std::int32_t> experts;
      for (int slot = 0; slot < num_tokens * kTopK; ++slot) experts.push_back((slot * 3 + slot / kTopK) % kNumExperts);
      const std::vector<float> gates(experts.size(), 0.4f);
      std::vector<float> results[2];
      for (const WeightStorage storage : {WeightStorage::packed, WeightStorage::mapped}) {
        const auto backend = make(options, 2, storage);
        const MatrixPtr w_gate = backend->load_matrix(gate.view()), w_up = backend->load_matrix(up.view()),
                        w_down = backend->load_matrix(down.view());
        std::vector<float>& out = results[int(storage)];
        out.resize(x.size());
        backend->experts({.out = out.data(),
                          .x = x.data(),
                          .experts = experts.data(),
                          .gates = gates.data(),
                          .w_gate = w_gate.get(),
                          .w_up = w_up.get(),
                          .w_down = w_down.get(),
                          .num_tokens = num_tokens,
                          .experts_per_token = kTopK});
      }
      CHECK(results[0] == results[1]);
    }
}

TEST("a mapped matrix whose file cannot be read any more gives the source's error, on any thread, and works again") {
  class FailingBytes final : public ByteSource {
   public:
    explicit FailingBytes(const ByteSource& inner) : inner_(inner) {}
    void read(std::uint64_t offset, std::span<std::byte> out) const override {
      if (fails && offset > 100'000) throw Error(ErrorCode::io, "the file is gone");
      inner_.read(offset, out);
    }
    bool fails = true;

   private:
    const ByteSource& inner_;
  };
  const MadeUpMatrix made_up(1, 512, 768, 8, 3);
  FailingBytes failing(*made_up.weight_source);
  Linear view = made_up.view();
  view.weight.source = &failing;
  const auto packed = make_backend({.num_threads = 4});
  const auto mapped = make_backend({.num_threads = 4, .weights = WeightStorage::mapped});
  const MatrixPtr in_memory = packed->load_matrix(made_up.view()), in_file = mapped->load_matrix(view);
  for (const int num_tokens : {1, 40}) {
    const auto x = random_floats(std::size_t(num_tokens) * 512, 1);
    failing.fails = true;
    CHECK_ERROR(product(*mapped, *in_file, x, num_tokens, 768), ErrorCode::io, "the file is gone");
    failing.fails = false;
    CHECK(product(*mapped, *in_file, x, num_tokens, 768) == product(*packed, *in_memory, x, num_tokens, 768));
  }
}

TEST("says how many bytes a matrix will take before it is loaded") {
  const auto backend = make_backend({.num_threads = 1});
  const MadeUpMatrix made_up(2, 64, 40, 8, 1);
  // Two experts of two strips of eight groups of 8 rows; 8 bytes a column for its scale and its sum.
  CHECK_EQ(backend->footprint().matrix_bytes(made_up.view()), 2u * 2 * 8 * 32 * (8 + 8));
  CHECK_EQ(backend->footprint().product_bytes(made_up.view()), 2u * 2 * 8 * 32 * (8 + 8));
  // Mapped: the scales.
  const auto mapped = make_backend({.num_threads = 1, .weights = WeightStorage::mapped});
  CHECK_EQ(mapped->footprint().matrix_bytes(made_up.view()), 2u * 2 * 8 * 32 * 4);
  CHECK_EQ(mapped->footprint().product_bytes(made_up.view()), 2u * 2 * 8 * 32 * 4 + 2 * 64 * 40);
}

TEST_MAIN()
