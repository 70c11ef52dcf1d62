#include "runtime/request_check.h"

#include <limits>
#include <string>
#include <type_traits>

#include "core/error.h"

namespace grok::runtime {
namespace {

template <typename Value>
void expect(bool holds, const char* name, const char* expected, const Value& found) {
  if (!holds)
    throw Error(ErrorCode::invalid_argument, concat("expected ", name, " to be ", expected, ", found ", found));
}

void expect_in_vocabulary(std::int32_t token, int vocab_size, const char* name, std::size_t index) {
  if (token < 0 || token >= vocab_size)
    throw Error(ErrorCode::invalid_argument, concat("expected ", name, "[", index, "] to be a token id from 0 to ",
                                                    vocab_size - 1, ", found ", token));
}

void check_sampling(const SamplingParams& params, int vocab_size) {
  for_each_option(params, [](const auto& option, auto value) {
    const char* const kind = std::is_integral_v<decltype(value)> ? "an integer" : "a number";
    const std::string range = concat(kind, " from ", option.smallest, " to ", option.largest);
    expect(value >= option.smallest && value <= option.largest, option.name, range.c_str(), value);
  });
  if (params.num_logprobs < 0 || params.num_logprobs > vocab_size)
    throw Error(ErrorCode::invalid_argument, concat("expected num_logprobs to be an integer from 0 to ", vocab_size,
                                                    ", the size of the vocabulary; found ", params.num_logprobs));
}

}  // namespace

void check_request(const SequenceRequest& request, const model::GrokConfig& config, int context_length) {
  if (request.prompt.empty())
    throw Error(ErrorCode::invalid_argument, "expected a prompt of at least one token, found none");
  expect(request.max_tokens >= 0, "max_tokens", "an integer >= 0", request.max_tokens);
  if (request.max_tokens == 0 && request.prompt_outputs == PromptOutputs::none)
    throw Error(ErrorCode::invalid_argument, "expected max_tokens of at least 1, or prompt outputs; found neither");

  const std::uint64_t length = request.prompt.size() + std::uint64_t(request.max_tokens);
  if (length > std::uint64_t(context_length))
    throw Error(ErrorCode::context_overflow,
                concat("the prompt has ", request.prompt.size(), " tokens and max_tokens is ", request.max_tokens,
                       ": together ", length, ", and the context holds ", context_length),
                "Shorten the prompt, request fewer tokens, or open the model with a larger context.");

  for (std::size_t index = 0; index < request.prompt.size(); ++index)
    expect_in_vocabulary(request.prompt[index], config.vocab_size, "prompt", index);
  for (std::size_t index = 0; index < request.stop_tokens.size(); ++index)
    expect_in_vocabulary(request.stop_tokens[index], config.vocab_size, "stop_tokens", index);
  for (std::size_t index = 0; index < request.bias.size(); ++index) {
    expect_in_vocabulary(request.bias[index].token, config.vocab_size, "bias", index);
    const float bias = request.bias[index].bias;  // -infinity bans the token
    expect(bias <= std::numeric_limits<float>::max(), "bias", "numbers below infinity", bias);
  }
  check_sampling(request.sampling, config.vocab_size);
}

}  // namespace grok::runtime
