#include "runtime/synthetic.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "core/error.h"
#include "runtime/engine.h"
#include "testing.h"

using namespace grok;
using namespace grok::runtime;
using namespace grok::testing;

namespace {

std::vector<std::byte> read(const TensorView& view, std::uint64_t start, std::size_t size) {
  std::vector<std::byte> bytes(size);
  view.read(start, bytes);
  return bytes;
}

template <typename T>
std::vector<T> values_of(const TensorView& view) {
  std::vector<T> values(num_elements(view.shape));
  view.read(0, std::as_writable_bytes(std::span(values)));
  return values;
}

const format::StoredParameter& parameter(const format::TensorSource& source, const std::string& name) {
  const format::StoredParameter* found = source.find(name);
  if (!found) throw Error(ErrorCode::internal, "no parameter " + name);
  return *found;
}

constexpr const char* kGate = "transformer/decoder_layer_0/moe/linear/w";
constexpr const char* kDown = "transformer/decoder_layer_0/moe/linear_1/w";

struct Moments {
  double mean = 0, std = 0;
};

template <typename T>
Moments moments(const std::vector<T>& values) {
  double sum = 0, squares = 0;
  for (const T value : values) {
    sum += double(value);
    squares += double(value) * double(value);
  }
  const double mean = sum / double(values.size());
  return {mean, std::sqrt(squares / double(values.size()) - mean * mean)};
}

}  // namespace

TEST("refuses a shape that is neither a name nor a file") {
  CHECK_ERROR(synthetic_shape("huge", 0), ErrorCode::invalid_argument, "tiny, mid, slice, grok1, or the path");
  CHECK_ERROR(synthetic_shape("tiny", -1), ErrorCode::invalid_argument, "found -1");
}

TEST("refuses a network that cannot run, before anything is sized by it") {
  model::GrokConfig config = synthetic_shape("tiny", 0);
  config.d_model = 1 << 30;
  CHECK_ERROR(Engine::open_synthetic(config, {}), ErrorCode::bad_checkpoint, "d_model");
}

TEST("refuses Grok-1 if it does not fit, before a weight is computed") {
  CHECK_ERROR(Engine::open_synthetic(synthetic_shape("grok1", 0), {.memory_limit = 1'000'000'000}),
              ErrorCode::out_of_memory, "1 GB is available");
}

TEST("refuses shards that would cut a head in two") {
  const model::GrokConfig grok1;
  CHECK_ERROR(shard_of(grok1, 16), ErrorCode::invalid_argument, "divides num_kv_heads, 8; found 16");
  CHECK_ERROR(shard_of(grok1, 0), ErrorCode::invalid_argument, "found 0");
}

TEST("one of 8 shards of Grok-1 holds an eighth of its matrices, and what shards have in common") {
  const model::GrokConfig grok1, shard = shard_of(grok1, 8);
  CHECK_EQ(shard.num_layers, 64);
  CHECK_EQ(shard.num_q_heads, 6);
  CHECK_EQ(shard.num_kv_heads, 1);
  CHECK_EQ(shard.d_ff, 4096);
  CHECK_EQ(shard.vocab_size, 16384);
  CHECK_EQ(shard.d_model, grok1.d_model);

  // Its rows of attention-out and down are those of one scale group.
  const auto whole = make_synthetic_source(grok1, 1), part = make_synthetic_source(shard, 1, kScaleGroups / 8);
  for (const format::StoredParameter& stored : whole->parameters()) {
    const format::StoredParameter& of_shard = parameter(*part, stored.name);
    const bool is_shared = stored.name.ends_with("/scale") || stored.name.ends_with("router/w");
    CHECK_EQ(of_shard.weight.size_bytes() * (is_shared ? 1 : 8), stored.weight.size_bytes());
    if (stored.scales) CHECK_EQ(of_shard.scales->size_bytes() * 8, stored.scales->size_bytes());
  }
}

TEST("a config.json is a shape, too, and num_layers replaces its own") {
  const std::string path = std::string(GROK_PROJECT_DIR) + "/test/fixtures/golden/ref-small/config.json";
  CHECK_EQ(synthetic_shape(path, 0).vocab_size, 512);
  CHECK_EQ(synthetic_shape(path, 5).num_layers, 5);
  CHECK_EQ(synthetic_shape("grok1", 3).num_layers, 3);
  CHECK_EQ(synthetic_shape("grok1", 3).d_ff, 32768);
}

TEST("slice is two layers of Grok-1's own width") {
  const model::GrokConfig slice = synthetic_shape("slice", 0), grok1;
  CHECK_EQ(slice.num_layers, 2);
  CHECK_EQ(slice.vocab_size, 8192);
  CHECK_EQ(slice.d_model, grok1.d_model);
  CHECK_EQ(slice.embedding_scale, grok1.embedding_scale);
}

TEST("any part of a weight is the same as in the whole") {
  const auto source = make_synthetic_source(synthetic_shape("tiny", 0), 1);
  std::vector<const TensorView*> views;
  for (const format::StoredParameter& stored : source->parameters()) {
    views.push_back(&stored.weight);
    if (stored.scales) views.push_back(&*stored.scales);
  }
  for (const TensorView* view : views) {
    const std::size_t size = view->size_bytes();
    const std::vector<std::byte> whole = read(*view, 0, size);
    for (const std::size_t start : {std::size_t(0), std::size_t(1), std::size_t(7), std::size_t(8), size / 3, size - 9})
      for (const std::size_t length :
           {std::size_t(0), std::size_t(1), std::size_t(3), std::size_t(8), std::size_t(9)}) {
        const std::vector<std::byte> part = read(*view, start, length);
        CHECK(std::equal(part.begin(), part.end(), whole.begin() + std::ptrdiff_t(start)));
      }
  }
}

TEST("another seed, parameter or position gives other numbers, and the same gives the same") {
  const model::GrokConfig config = synthetic_shape("tiny", 0);
  const auto one = make_synthetic_source(config, 1), again = make_synthetic_source(config, 1);
  const auto two = make_synthetic_source(config, 2);
  const auto head = [](const format::TensorSource& source, const std::string& name) {
    return read(parameter(source, name).weight, 0, 64);
  };
  CHECK(head(*one, kGate) == head(*again, kGate));
  CHECK(head(*one, kGate) != head(*two, kGate));
  CHECK(head(*one, kGate) != head(*one, "transformer/decoder_layer_0/moe/linear_v/w"));
  CHECK(head(*one, kGate) != head(*one, "transformer/decoder_layer_1/moe/linear/w"));
  CHECK(head(*one, kGate) != read(parameter(*one, kGate).weight, 64, 64));
}

TEST("int8 weights are uniform in -127 .. 127, and next to each other unrelated") {
  const auto source = make_synthetic_source(synthetic_shape("tiny", 0), 1);
  const auto values = values_of<std::int8_t>(parameter(*source, kGate).weight);  // 1.57 million
  std::vector<int> counts(256);
  for (const std::int8_t value : values) ++counts[std::size_t(value + 128)];
  const double expected = double(values.size()) / 256;  // 6144, and its standard deviation 78
  CHECK_EQ(counts[0], 0);
  for (int value = -127; value <= 127; ++value)
    CHECK_NEAR(counts[std::size_t(value + 128)], value == 0 ? 2 * expected : expected, 6 * std::sqrt(2 * expected));
  CHECK_NEAR(moments(values).mean, 0, 6 * 73.6 / std::sqrt(double(values.size())));
  for (const std::size_t distance : {1, 2, 7, 8, 9, 16, 768, 6144}) {
    double product = 0;
    for (std::size_t i = distance; i < values.size(); ++i) product += double(values[i]) * values[i - distance];
    const double correlation = product / (73.6 * 73.6 * double(values.size()));
    CHECK_NEAR(correlation, 0, 6 / std::sqrt(double(values.size())));  // six standard deviations of chance
  }
}

TEST("a weight times its scale keeps a normalised input at about its size") {
  const auto source = make_synthetic_source(synthetic_shape("tiny", 0), 1);
  for (const char* name : {kGate, kDown}) {
    const format::StoredParameter& stored = parameter(*source, name);
    const double d_in = double(stored.weight.shape[1]);
    std::vector<float> scales;
    for (const std::uint16_t bits : values_of<std::uint16_t>(*stored.scales)) scales.push_back(bf16_to_f32(bits));
    const Moments of_scales = moments(scales);
    const double std = moments(values_of<std::int8_t>(stored.weight)).std *
                       std::sqrt(of_scales.mean * of_scales.mean + of_scales.std * of_scales.std);
    CHECK_NEAR(std * std::sqrt(d_in), 1.04, 0.02);  // sqrt(1 + 1/12): scales vary from half to one and a half
  }
  CHECK(parameter(*source, kDown).scales->shape == (Shape{8, 8, 256}));
}

TEST("norms are 1, and embedding and router as wide as they should be") {
  const model::GrokConfig config = synthetic_shape("tiny", 0);
  const auto source = make_synthetic_source(config, 1);
  for (const float value : values_of<float>(parameter(*source, "language_model/rms_norm/scale").weight))
    CHECK_EQ(value, 1.0f);
  const Moments embedding =
      moments(values_of<float>(parameter(*source, "language_model/in_out_embed/embeddings").weight));
  CHECK_NEAR(embedding.std * config.embedding_scale, 1, 0.01);
  const Moments router = moments(values_of<float>(parameter(*source, "transformer/decoder_layer_1/router/w").weight));
  CHECK_NEAR(router.std * std::sqrt(256.0), 3, 0.2);
}

TEST("a synthetic model generates, with finite log-probabilities that differ from token to token") {
  const auto engine = Engine::open_synthetic(synthetic_shape("tiny", 0), {.num_threads = 1, .max_sequences = 1});
  while (!engine->load_next().done)
    ;
  engine->set_runnable({engine->submit({.prompt = {5, 6, 7}, .max_tokens = 4})});
  std::vector<float> logprobs;
  for (int step = 0; step < 4; ++step)
    for (const SequenceOutput& output : engine->step())
      if (output.token) logprobs.push_back(output.token->logprob);
  CHECK_EQ(logprobs.size(), 4u);
  for (const float logprob : logprobs) CHECK(std::isfinite(logprob) && logprob < 0);
  CHECK(logprobs[0] != logprobs[1]);
}

TEST("the bytes read for a token are the dense weights, the head and the share of its experts, as they are kept") {
  const auto engine = Engine::open_synthetic(synthetic_shape("tiny", 0), {.num_threads = 1, .isa = "portable"});
  const Inspection& inspection = engine->inspection();
  std::uint64_t expert_bytes = 0;  // of 8 experts, 2 of which work for a token
  for (const TensorInfo& tensor : inspection.tensors)
    if (tensor.shape.size() == 3) {
      const std::uint64_t num_scales = num_elements(tensor.scales_shape);
      expert_bytes += num_elements(tensor.shape) + num_scales * 8;  // a scale and the sum of its weights
    }
  CHECK_EQ(inspection.weight_bytes_per_token, inspection.memory.weights - expert_bytes * 6 / 8);
}

TEST_MAIN()
