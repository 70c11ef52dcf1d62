#include "model/check_config.h"

#include <cmath>
#include <limits>
#include <string>

#include "testing.h"

using namespace grok;
using namespace grok::model;

namespace {

constexpr DerivedSizes kGrok1{.num_layers = 64,
                              .vocab_size = 131072,
                              .d_model = 6144,
                              .d_ff = 32768,
                              .num_experts = 8,
                              .q_width = 6144,
                              .kv_width = 1024};

// Grok-1 with one number changed.
template <typename T>
void check_with(T GrokConfig::*member, T value) {
  GrokConfig config;
  config.*member = value;
  check_ranges(config, "config.json");
}

}  // namespace

TEST("refuses sizes out of range before anything is sized by them") {
  for (const int size : {0, -1, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()})
    for (const auto member :
         {&GrokConfig::vocab_size, &GrokConfig::context_length, &GrokConfig::d_model, &GrokConfig::num_layers,
          &GrokConfig::num_q_heads, &GrokConfig::num_kv_heads, &GrokConfig::head_dim, &GrokConfig::d_ff,
          &GrokConfig::num_experts, &GrokConfig::experts_per_token})
      CHECK_ERROR(check_with(member, size), ErrorCode::bad_checkpoint, concat("found ", size));
  CHECK_ERROR(check_with(&GrokConfig::context_length, (1 << 20) + 1), ErrorCode::bad_checkpoint, "1 to 1048576");
  CHECK_ERROR(check_with(&GrokConfig::eos_id, 131072), ErrorCode::bad_checkpoint, "eos_id: expected 0 to 131071");
  CHECK_ERROR(check_with(&GrokConfig::pad_id, -1), ErrorCode::bad_checkpoint, "pad_id");
}

TEST("refuses heads that cannot be paired, halved or shared") {
  CHECK_ERROR(check_with(&GrokConfig::head_dim, 127), ErrorCode::bad_checkpoint, "an even number");
  CHECK_ERROR(check_with(&GrokConfig::num_kv_heads, 7), ErrorCode::bad_checkpoint,
              "a multiple of num_kv_heads, 7, found 48");
  CHECK_ERROR(check_with(&GrokConfig::experts_per_token, 9), ErrorCode::bad_checkpoint,
              "experts_per_token: expected 1 to 8");
}

TEST("refuses multipliers that are zero, negative, infinite or not numbers") {
  for (const double value : {0.0, -1.0, double(INFINITY), double(NAN)})
    for (const auto member : {&GrokConfig::embedding_scale, &GrokConfig::logit_scale, &GrokConfig::attn_logit_scale,
                              &GrokConfig::attn_logit_cap, &GrokConfig::rope_base, &GrokConfig::norm_eps})
      CHECK_ERROR(check_with(member, value), ErrorCode::bad_checkpoint, "expected a number above 0");
  CHECK_ERROR(check_with(&GrokConfig::attn_logit_cap, 40.5), ErrorCode::bad_checkpoint, "attn_logit_cap");
}

TEST("lists every size that the tensors contradict, and says what to do") {
  const DerivedSizes other{
      .num_layers = 3, .vocab_size = 512, .d_model = 64, .d_ff = 256, .num_experts = 4, .q_width = 128, .kv_width = 64};
  try {
    check_config(GrokConfig(), other, "built in (Grok-1)");
    CHECK(false);
  } catch (const Error& error) {
    const std::string message = error.what();
    for (const char* line : {"vocab_size: the config says 131072, the tensors 512", "d_model: the config says 6144",
                             "num_layers: the config says 64, the tensors 3",
                             "d_ff:", "num_experts:", "num_q_heads * head_dim: the config says 6144, the tensors 128",
                             "num_kv_heads * head_dim:"})
      if (message.find(line) == std::string::npos)
        grok::testing::fail(__FILE__, __LINE__, concat(line, " not in ", message));
    CHECK(error.hint.find("needs a config.json") != std::string::npos);
  }
}

TEST("takes Grok-1 itself, and the extremes of each range") {
  check_config(GrokConfig(), kGrok1, "built in (Grok-1)");
  check_with(&GrokConfig::attn_logit_cap, 40.0);
  check_with(&GrokConfig::context_length, 1 << 20);
  check_with(&GrokConfig::experts_per_token, 8);
  check_with(&GrokConfig::num_kv_heads, 48);
}

TEST_MAIN()
