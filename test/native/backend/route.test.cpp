#include "testing.h"

#include "support/operations.h"

using namespace grok;
using namespace grok::testing;

namespace {

struct Routed {
  std::vector<std::int32_t> experts;
  std::vector<float> gates, logits;
};

Routed route(Backend& backend, const std::vector<float>& x, const std::vector<float>& router, int d_model,
             int experts_per_token) {
  const int num_tokens = int(x.size()) / d_model, num_experts = int(router.size()) / d_model;
  const BufferPtr x_ = on_device(backend, x), router_ = on_device(backend, router),
                  experts = unwritten(backend, num_tokens * experts_per_token),
                  gates = unwritten(backend, num_tokens * experts_per_token),
                  logits = unwritten(backend, num_tokens * num_experts);
  backend.route({.experts = experts->as<std::int32_t>(),
                 .gates = gates->as<float>(),
                 .logits = logits->as<float>(),
                 .x = x_->as<float>(),
                 .router = router_->as<float>(),
                 .num_tokens = num_tokens,
                 .d_model = d_model,
                 .num_experts = num_experts,
                 .experts_per_token = experts_per_token});
  return {read_ints(backend, *experts), read_floats(backend, *gates), read_floats(backend, *logits)};
}

}  // namespace

TEST("routes to the same experts with the same gates, ties to the lower id") {
  struct Case {
    int d_model, num_experts, experts_per_token;
  };
  for (const TestedBackend& tested : tested_backends())
    for (const Case shape : {Case{333, 11, 3}, Case{5, 8, 2}, Case{6200, 8, 8}, Case{2100, 64, 40}, Case{16, 1, 1}}) {
      auto x = random_floats(5 * shape.d_model, 1);
      std::fill_n(x.begin(), shape.d_model, 0.0f);  // all experts alike
      const auto router = random_floats(shape.d_model * shape.num_experts, 2);
      const auto [found, expected] = beside_reference(
          tested, [&](Backend& backend) { return route(backend, x, router, shape.d_model, shape.experts_per_token); });
      CHECK(found.experts == expected.experts);
      for (int rank = 0; rank < shape.experts_per_token; ++rank) CHECK_EQ(found.experts[rank], rank);
      const std::string title = concat(tested.name, ", ", shape.num_experts, " experts, d_model ", shape.d_model);
      check_near(found.gates, expected.gates, 1e-7, concat(title, ", gates"));
      check_near(found.logits, expected.logits, 1e-7, concat(title, ", logits"));
    }
}

TEST("distinguishes experts whose logits differ by a billionth of the products") {
  // Two large products that cancel, and a small share of every other row: more for the second expert.
  const int d_model = 6144, num_experts = 8;
  std::vector<float> x(d_model, 1.0f), router(d_model * num_experts, 1e-9f);
  for (int expert = 0; expert < num_experts; ++expert) {
    router[expert] = 1.0f;
    router[512 * num_experts + expert] = -1.0f;
    router[1024 * num_experts + expert] = expert == 1 ? 2e-9f : 1e-9f;
  }
  for (const TestedBackend& tested : tested_backends())
    CHECK_EQ(route(*tested.make(), x, router, d_model, 1).experts[0], 1);
}

TEST_MAIN()
