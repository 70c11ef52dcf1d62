#include "runtime/request_check.h"

#include <limits>

#include "testing.h"

namespace grok::runtime {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

SequenceRequest sound_request() { return {.prompt = {1, 2, 3}, .max_tokens = 5}; }

void check_with(void (*change)(SequenceRequest&)) {
  SequenceRequest request = sound_request();
  change(request);
  model::GrokConfig config;
  config.vocab_size = 100;
  check_request(request, config, 8);
}

void refused(const char* text, void (*change)(SequenceRequest&)) {
  CHECK_ERROR(check_with(change), ErrorCode::invalid_argument, text);
}

TEST("an empty prompt is refused") {
  refused("at least one token", [](SequenceRequest& request) { request.prompt.clear(); });
}

TEST("a request for nothing is refused") {
  refused("max_tokens of at least 1", [](SequenceRequest& request) { request.max_tokens = 0; });
  refused("max_tokens to be an integer >= 0, found -1", [](SequenceRequest& request) { request.max_tokens = -1; });
}

TEST("token ids outside the vocabulary are refused with their place") {
  refused("prompt[1] to be a token id from 0 to 99, found 100",
          [](SequenceRequest& request) { request.prompt[1] = 100; });
  refused("prompt[2]", [](SequenceRequest& request) { request.prompt[2] = -1; });
  refused("stop_tokens[0]", [](SequenceRequest& request) { request.stop_tokens = {100}; });
  refused("bias[1]", [](SequenceRequest& request) { request.bias = {{0, 1.0f}, {-7, 1.0f}}; });
}

TEST("numbers that no sampler can use are refused by name") {
  refused("temperature to be a number from 0 to 3.4e+38, found nan",
          [](SequenceRequest& request) { request.sampling.temperature = kNan; });
  refused("temperature", [](SequenceRequest& request) { request.sampling.temperature = kInfinity; });
  refused("temperature", [](SequenceRequest& request) { request.sampling.temperature = -0.1f; });
  refused("top_k to be an integer from 0 to 2147483647, found -1",
          [](SequenceRequest& request) { request.sampling.top_k = -1; });
  refused("top_p", [](SequenceRequest& request) { request.sampling.top_p = -0.1f; });
  refused("top_p", [](SequenceRequest& request) { request.sampling.top_p = 1.1f; });
  refused("top_p", [](SequenceRequest& request) { request.sampling.top_p = kNan; });
  refused("min_p", [](SequenceRequest& request) { request.sampling.min_p = kNan; });
  refused("min_p", [](SequenceRequest& request) { request.sampling.min_p = 2; });
  refused("repetition_penalty", [](SequenceRequest& request) { request.sampling.repetition_penalty = 0; });
  refused("presence_penalty", [](SequenceRequest& request) { request.sampling.presence_penalty = kInfinity; });
  refused("frequency_penalty", [](SequenceRequest& request) { request.sampling.frequency_penalty = kNan; });
  refused("num_logprobs to be an integer from 0 to 100",
          [](SequenceRequest& request) { request.sampling.num_logprobs = 101; });
  refused("bias to be numbers", [](SequenceRequest& request) { request.bias = {{1, kNan}}; });
  refused("bias to be numbers", [](SequenceRequest& request) { request.bias = {{1, kInfinity}}; });
}

TEST("a request longer than the context is refused with all the numbers") {
  CHECK_ERROR(check_with([](SequenceRequest& request) { request.max_tokens = 6; }), ErrorCode::context_overflow,
              "the prompt has 3 tokens and max_tokens is 6: together 9, and the context holds 8");
  CHECK_ERROR(check_with([](SequenceRequest& request) { request.max_tokens = std::numeric_limits<int>::max(); }),
              ErrorCode::context_overflow, "2147483650");
}

TEST("a request that fills the context exactly is accepted") {
  check_with([](SequenceRequest&) {});
}

TEST("no token need be generated where prompt outputs are wanted") {
  check_with([](SequenceRequest& request) {
    request.max_tokens = 0;
    request.prompt_outputs = PromptOutputs::logits;
  });
}

TEST("the ends of all ranges are accepted") {
  check_with([](SequenceRequest& request) {
    request.sampling.temperature = 0;
    request.sampling.top_p = 0;
    request.sampling.min_p = 1;
    request.sampling.num_logprobs = 100;
    request.prompt = {0, 99};
    request.bias = {{99, -100.0f}, {98, -kInfinity}};
  });
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
