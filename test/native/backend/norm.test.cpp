#include "testing.h"

#include "support/operations.h"

using namespace grok;
using namespace grok::testing;

namespace {

struct Normed {
  std::vector<float> normed, residual, added;
};

}  // namespace

TEST("norms and adds as the reference does, also where the epsilon matters") {
  for (const TestedBackend& tested : tested_backends())
    for (const int d_model : {1, 48, 376, 2050, 6144, 6148})  // CUDA keeps all in registers but 1, 2,050 and 6,148
      for (const float spread : {1.0f, 1e-3f}) {
        const int num_tokens = 3;
        const auto x = random_floats(num_tokens * d_model, 1, spread),
                   y = random_floats(num_tokens * d_model, 2, spread);
        const auto post = random_floats(d_model, 3), pre = random_floats(d_model, 4);
        const auto [found, expected] = beside_reference(tested, [&](Backend& backend) {
          const BufferPtr x_ = on_device(backend, x), y_ = on_device(backend, y), post_ = on_device(backend, post),
                          pre_ = on_device(backend, pre), out = unwritten(backend, x.size());
          backend.norm({.out = out->as<float>(),
                        .x = x_->as<float>(),
                        .weight = pre_->as<float>(),
                        .num_tokens = num_tokens,
                        .d_model = d_model,
                        .eps = 1e-5f});
          const auto normed = read_floats(backend, *out);
          backend.add_norm({.residual = x_->as<float>(),
                            .out = out->as<float>(),
                            .y = y_->as<float>(),
                            .post_weight = post_->as<float>(),
                            .pre_weight = pre_->as<float>(),
                            .num_tokens = num_tokens,
                            .d_model = d_model,
                            .eps = 1e-5f});
          return Normed{normed, read_floats(backend, *x_), read_floats(backend, *out)};
        });
        const std::string title = concat(tested.name, ", d_model ", d_model, ", spread ", spread);
        check_near(found.normed, expected.normed, 2e-6, title);
        check_near(found.residual, expected.residual, 2e-6, title);
        check_near(found.added, expected.added, 2e-6, title);
      }
}

TEST_MAIN()
