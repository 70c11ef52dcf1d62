// Writes a checkpoint with random numbers for tests.
//
//   make_checkpoint DIR [--layers N] [--d-model N] [--q-heads N] [--kv-heads N] [--head-dim N] [--d-ff N] [--vocab N]
//                   [--experts N] [--context N] [--numpy 1|2] [--seed S] [--format ckpt-0|safetensors] [--shards N]
//   make_checkpoint DIR --grok1-sparse     770 files of Grok-1's sizes and real framing, with holes for numbers

#include <charconv>
#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>

#include "support/write_checkpoint.h"

namespace {

using namespace grok;
using namespace grok::testing;

struct Request {
  std::string directory;
  model::GrokConfig config = tiny_config();
  Numpy numpy = Numpy::v1;
  std::uint64_t seed = 1;
  std::size_t num_shards = 1;
  bool safetensors = false;
  bool grok1_sparse = false;
};

int whole_number(std::string_view option, std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1)
    throw Error(ErrorCode::invalid_argument, concat(option, ": expected a number of 1 or more, found \"", text, "\""));
  return value;
}

Request parse(int argc, char** argv) {
  Request request;
  for (int index = 1; index < argc; ++index) {
    const std::string_view option = argv[index];
    if (option == "--grok1-sparse") {
      request.grok1_sparse = true;
      continue;
    }
    if (!option.starts_with("--")) {
      request.directory = option;
      continue;
    }
    if (++index == argc) throw Error(ErrorCode::invalid_argument, concat(option, ": expected a value, found none"));
    const std::string_view value = argv[index];
    const auto number = [&] { return whole_number(option, value); };
    if (option == "--layers")
      request.config.num_layers = number();
    else if (option == "--d-model")
      request.config.d_model = number();
    else if (option == "--q-heads")
      request.config.num_q_heads = number();
    else if (option == "--kv-heads")
      request.config.num_kv_heads = number();
    else if (option == "--head-dim")
      request.config.head_dim = number();
    else if (option == "--d-ff")
      request.config.d_ff = number();
    else if (option == "--vocab")
      request.config.vocab_size = number();
    else if (option == "--experts")
      request.config.num_experts = number();
    else if (option == "--context")
      request.config.context_length = number();
    else if (option == "--seed")
      request.seed = std::uint64_t(number());
    else if (option == "--shards")
      request.num_shards = std::size_t(number());
    else if (option == "--numpy" && (value == "1" || value == "2"))
      request.numpy = value == "1" ? Numpy::v1 : Numpy::v2;
    else if (option == "--format" && (value == "ckpt-0" || value == "safetensors"))
      request.safetensors = value == "safetensors";
    else
      throw Error(ErrorCode::invalid_argument, concat("unknown: ", option, " ", value));
  }
  if (request.directory.empty()) throw Error(ErrorCode::invalid_argument, "expected a directory to write to");
  model::GrokConfig& config = request.config;
  config.experts_per_token = std::min(config.experts_per_token, config.num_experts);
  config.embedding_scale = std::sqrt(config.d_model);
  config.attn_logit_scale = 1 / std::sqrt(config.head_dim);
  return request;
}

void write(const Request& request) {
  if (request.grok1_sparse) {
    write_jax_tensors(request.directory, model::GrokConfig(), request.numpy, request.seed, Payloads::holes);
  } else if (request.safetensors) {
    write_safetensors(request.directory, request.config, request.seed, request.num_shards);
  } else {
    write_jax_checkpoint(request.directory, request.config, request.numpy, request.seed);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    write(parse(argc, argv));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make_checkpoint: %s\n", error.what());
    return 1;
  }
}
