#include "testing.h"

#include <cmath>

#include "backend/cuda/cuda.h"
#include "emulator/emulator.h"
#include "support/made_up.h"
#include "support/on_device.h"

using namespace grok;
using namespace grok::cuda;
using namespace grok::testing;

// Products, through attention_out: packed tiles, limbs, scale groups, slices, and the division among blocks.
namespace {

// Half a unit of the last limb relative to the largest of 2048 normal values: measured 6e-5, and 3e-7 if float sums
// dominate.
double tolerance_of(int num_limbs) { return num_limbs == 2 ? 1e-4 : 1e-6; }

std::vector<float> product(Backend& backend, const Matrix& matrix, const std::vector<float>& x, int num_tokens,
                           int d_out) {
  const BufferPtr device_x = on_device(backend, x), out = unwritten(backend, std::size_t(num_tokens) * d_out);
  backend.attention_out({.out = out->as<float>(), .x = device_x->as<float>(), .w = &matrix, .num_tokens = num_tokens});
  return read_floats(backend, *out);
}

std::vector<double> exact_product(const MadeUpMatrix& matrix, const std::vector<float>& x, int num_tokens) {
  std::vector<double> expected(num_tokens * matrix.d_out);
  for (int token = 0; token < num_tokens; ++token)
    for (std::uint64_t row = 0; row < matrix.d_in; ++row)
      for (std::uint64_t column = 0; column < matrix.d_out; ++column)
        expected[token * matrix.d_out + column] += double(x[token * matrix.d_in + row]) * matrix.at(0, row, column);
  return expected;
}

}  // namespace

TEST("multiplies matrices of odd sizes and any number of scale groups, slices and tokens") {
  struct Size {
    std::uint64_t d_in, d_out, num_groups;
  };
  for (const int num_limbs : {2, 3})
    for (const Size size : {Size{1, 1, 1}, Size{8, 8, 8}, Size{48, 48, 8}, Size{376, 40, 1}, Size{384, 100, 8},
                            Size{2080, 17, 1}, Size{4200, 33, 2}}) {
      const auto backend = make_backend({.num_limbs = num_limbs});
      const MadeUpMatrix made_up(1, size.d_in, size.d_out, size.num_groups, 7);
      const MatrixPtr matrix = backend->load_matrix(made_up.view());
      for (const int num_tokens : {1, 3, 8, 9, 17, 70}) {
        const auto x = random_floats(num_tokens * size.d_in, num_tokens);
        const double d =
            distance(product(*backend, *matrix, x, num_tokens, int(size.d_out)), exact_product(made_up, x, num_tokens));
        if (!(d < tolerance_of(num_limbs)))
          fail(__FILE__, __LINE__,
               concat(size.d_in, " x ", size.d_out, ", ", size.num_groups, " groups, ", num_tokens, " tokens, ",
                      num_limbs, " limbs: ", d, " away"));
      }
    }
}

TEST("gives a token the same bits whatever tokens are beside it, run after run, on any number of multiprocessors") {
  const MadeUpMatrix made_up(1, 2300, 50, 1, 3);
  const auto x = random_floats(19 * 2300, 1);
  std::vector<float> together;
  for (const int num_multiprocessors : {1, 3, 4}) {
    emulator::settings().num_multiprocessors = num_multiprocessors;
    emulator::settings().seed = std::uint64_t(100 + num_multiprocessors);
    const auto backend = make_backend({});
    const MatrixPtr matrix = backend->load_matrix(made_up.view());
    const auto found = product(*backend, *matrix, x, 19, 50);
    if (together.empty()) together = found;
    CHECK(found == together);
    for (const int token : {0, 7, 18}) {
      const std::vector<float> alone_x(x.begin() + token * 2300, x.begin() + (token + 1) * 2300);
      const auto alone = product(*backend, *matrix, alone_x, 1, 50);
      CHECK(std::equal(alone.begin(), alone.end(), together.begin() + token * 50));
    }
  }
  emulator::settings() = {};
}

TEST("a NaN or infinity is not lost, and spoils no other token") {
  const MadeUpMatrix made_up(1, 70, 20, 2, 3);
  const auto backend = make_backend({});
  const MatrixPtr matrix = backend->load_matrix(made_up.view());
  auto x = random_floats(3 * 70, 1);
  const auto expected = product(*backend, *matrix, x, 3, 20);
  for (const float bad : {std::nanf(""), INFINITY, -INFINITY}) {
    x[70 + 5] = bad;
    const auto found = product(*backend, *matrix, x, 3, 20);
    for (int column = 0; column < 20; ++column) {
      CHECK_EQ(found[column], expected[column]);
      CHECK(std::isnan(found[20 + column]));
      CHECK_EQ(found[40 + column], expected[40 + column]);
    }
  }
}

TEST("zeros stay zero, and the smallest values do no harm") {
  const MadeUpMatrix made_up(1, 40, 20, 1, 3);
  const auto backend = make_backend({});
  const MatrixPtr matrix = backend->load_matrix(made_up.view());
  for (const float tiny : {0.0f, 1e-45f, 1e-38f})
    for (const float value : product(*backend, *matrix, std::vector<float>(40, tiny), 1, 20))
      CHECK_NEAR(value, 0, 1e-30);
  const auto x = random_floats(40, 1);
  auto small = x;
  for (float& value : small) value *= 0x1p-80f;
  auto expected = product(*backend, *matrix, x, 1, 20);
  for (float& value : expected) value *= 0x1p-80f;
  CHECK(distance(product(*backend, *matrix, small, 1, 20), expected) < 1e-6);
}

TEST_MAIN()
