#include "testing.h"

#include "backend/backend.h"
#include "backend/cpu/cpu.h"
#include "support/made_up.h"

using namespace grok;
using namespace grok::testing;

namespace {

// Float32 sums of up to a thousand terms: measured 1e-7 .. 3e-7.
constexpr double kTolerance = 1e-6;

std::vector<float> product(Backend& backend, const Matrix& matrix, const std::vector<float>& x, int num_tokens,
                           int d_out) {
  std::vector<float> out(std::size_t(num_tokens) * d_out);
  backend.attention_out({.out = out.data(), .x = x.data(), .w = &matrix, .num_tokens = num_tokens});
  return out;
}

}  // namespace

TEST("refuses an instruction set that it does not have, and names those it has") {
  CHECK_ERROR(make_cpu_backend({.num_threads = 1, .isa = "mmx"}), ErrorCode::invalid_argument, "portable");
}

TEST("multiplies matrices of odd sizes and any number of scale groups, on every instruction set") {
  struct Size {
    std::uint64_t d_in, d_out, num_groups;
  };
  for (const std::string& isa : cpu_isas())
    for (const Size size :
         {Size{8, 8, 8}, Size{48, 48, 8}, Size{376, 40, 1}, Size{384, 376, 8}, Size{1024, 33, 8}, Size{1, 1, 1}}) {
      const auto backend = make_cpu_backend({.num_threads = 2, .isa = isa});
      const MadeUpMatrix made_up(1, size.d_in, size.d_out, size.num_groups, 7);
      const MatrixPtr matrix = backend->load_matrix(made_up.view());
      for (const int num_tokens : {1, 2, 3, 4, 5, 6, 7, 13, 29}) {
        const auto x = random_floats(num_tokens * size.d_in, num_tokens);
        std::vector<double> expected(num_tokens * size.d_out);
        for (int token = 0; token < num_tokens; ++token)
          for (std::uint64_t row = 0; row < size.d_in; ++row)
            for (std::uint64_t column = 0; column < size.d_out; ++column)
              expected[token * size.d_out + column] += double(x[token * size.d_in + row]) * made_up.at(0, row, column);
        CHECK(distance(product(*backend, *matrix, x, num_tokens, int(size.d_out)), expected) < kTolerance);
      }
    }
}

TEST("gives a token the same bits whatever tokens are beside it, and however many threads there are") {
  for (const std::string& isa : cpu_isas()) {
    const auto one = make_cpu_backend({.num_threads = 1, .isa = isa}),
               two = make_cpu_backend({.num_threads = 2, .isa = isa});
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

TEST("says how many bytes a matrix will take before it is loaded") {
  const auto backend = make_cpu_backend({.num_threads = 1});
  const MadeUpMatrix made_up(2, 64, 40, 8, 1);
  CHECK_EQ(backend->matrix_bytes(made_up.view()), 2u * 2 * 32 * 64 + 2u * 2 * 32 * 8 * 4);
}

TEST_MAIN()
