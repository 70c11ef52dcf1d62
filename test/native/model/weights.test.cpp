#include "model/weights.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "model/haiku_naming.h"
#include "support/write_checkpoint.h"
#include "testing.h"

using namespace grok;
using namespace grok::model;
using namespace grok::testing;

namespace {

// ---------------------------------------------------------------- a backend that only keeps what it is given

class KeptBuffer final : public Buffer {
 public:
  explicit KeptBuffer(const TensorView& view) : bytes_(view.size_bytes(), '\0') {
    view.read(0, std::as_writable_bytes(std::span(bytes_)));
  }
  void* data() const override { return const_cast<char*>(bytes_.data()); }
  std::size_t size_bytes() const override { return bytes_.size(); }

 private:
  std::string bytes_;
};

struct KeptTable final : Table {
  explicit KeptTable(const TensorView& view) : view(view) {}
  TensorView view;
};

struct KeptMatrix final : Matrix {
  explicit KeptMatrix(const Linear& view) : view(view) {}
  Linear view;
};

struct Multiples final : Footprint {
  std::uint64_t matrix_bytes(const Linear& view) const override { return 3 * view.weight.size_bytes(); }
  std::uint64_t table_bytes(const TensorView& view) const override { return 5 * view.size_bytes(); }
  std::uint64_t kv_page_bytes(KvCacheType, int, int) const override { return 0; }
  std::uint64_t scratch_bytes(const StepSize&) const override { return 0; }
};

class KeepingBackend final : public Backend {
 public:
  std::string description() const override { return "keeps"; }
  BufferPtr allocate(std::size_t) override { throw Error(ErrorCode::internal, "not expected"); }
  BufferPtr load_vector(const TensorView& view) override { return std::make_unique<KeptBuffer>(view); }
  TablePtr load_table(const TensorView& view) override { return std::make_unique<KeptTable>(view); }
  MatrixPtr load_matrix(const Linear& view) override { return std::make_unique<KeptMatrix>(view); }
  const Footprint& footprint() const override { return footprint_; }
  void reserve_scratch(const StepSize&) override {}
  Batch stage(const Batch& host) override { return host; }
  void read(std::span<float>, const float*) override {}
  void read(std::span<std::int32_t>, const std::int32_t*) override {}
  void read_kv(const ReadKv&) override {}
  void embed(const Embed&) override {}
  void norm(const Norm&) override {}
  void qkv(const Qkv&) override {}
  void attention(const Attention&) override {}
  void attention_out(const AttentionOut&) override {}
  void add_norm(const AddNorm&) override {}
  void route(const Route&) override {}
  void experts(const Experts&) override {}
  void logits(const Logits&) override {}
  void sample(const Sample&) override {}

 private:
  const Multiples footprint_;
};

// ---------------------------------------------------------------- a checkpoint without files

// Bytes that count how often they were read and how much of them was dropped.
class CountingBytes final : public ByteSource {
 public:
  void read(std::uint64_t offset, std::span<std::byte> out) const override {
    ++num_reads;
    std::fill(out.begin(), out.end(), std::byte(offset));
  }
  void drop(std::uint64_t, std::uint64_t size_bytes) const override { dropped_bytes += size_bytes; }

  mutable int num_reads = 0;
  mutable std::uint64_t dropped_bytes = 0;
};

class MadeUpSource final : public format::TensorSource {
 public:
  explicit MadeUpSource(const GrokConfig& config) {
    std::uint64_t offset = 0;
    for (const ParameterToWrite& parameter : parameters_to_write(config)) {
      format::StoredParameter stored;
      stored.name = parameter.name;
      stored.file = "file" + std::to_string(list.size());
      stored.weight = {parameter.is_quantized() ? DType::i8 : DType::f32, parameter.shape, &bytes, offset++};
      if (parameter.is_quantized()) stored.scales = TensorView{DType::bf16, parameter.scales_shape(), &bytes, offset++};
      list.push_back(stored);
    }
  }

  const std::vector<format::StoredParameter>& parameters() const override { return list; }
  std::uint64_t size_bytes() const override { return 0; }
  std::string description() const override { return "made up"; }

  format::StoredParameter& at(const std::string& name) {
    return *std::find_if(list.begin(), list.end(),
                         [&](const format::StoredParameter& stored) { return stored.name == name; });
  }

  CountingBytes bytes;
  std::vector<format::StoredParameter> list;
};

BoundNetwork bind(const MadeUpSource& source, const GrokConfig& config = tiny_config()) {
  return bind_weights(config, source, haiku_naming());
}

const std::string kLayer0 = "transformer/decoder_layer_0/";
const std::string kLayer1 = "transformer/decoder_layer_1/";

}  // namespace

TEST("lists everything that does not fit in one error, and reads nothing") {
  MadeUpSource source(tiny_config());
  source.at(kLayer0 + "moe/linear/w").weight.shape = {4, 16, 17};
  source.at(kLayer0 + "router/w").weight.dtype = DType::bf16;
  source.at(kLayer0 + "multi_head_attention/query/w").scales.reset();
  source.at(kLayer0 + "multi_head_attention/linear/w").scales->shape = {3, 16};
  source.at(kLayer1 + "moe/linear_1/w").scales->shape = {4, 1, 8};
  source.at(kLayer1 + "rms_norm/scale").scales = TensorView{DType::bf16, {1}, &source.bytes, 0};
  source.at(kLayer1 + "rms_norm_3/scale").name = "evil\x1b[2J";
  try {
    bind(source);
    CHECK(false);
  } catch (const Error& error) {
    CHECK(error.code == ErrorCode::bad_checkpoint);
    const std::string message = error.what();
    for (const char* line :
         {"the checkpoint, made up, does not fit the network:",
          "\n  file2: transformer/decoder_layer_0/moe/linear/w: expected i8 [4, 16, 16], found i8 [4, 16, 17]",
          "\n  file13: transformer/decoder_layer_0/router/w: expected f32 [16, 4], found bf16 [16, 4]",
          "multi_head_attention/query/w: expected scales, found none",
          "multi_head_attention/linear/w: expected scales bf16 [1, 16], or with more groups along axis 0 that divide "
          "16, "
          "found bf16 [3, 16]",
          "moe/linear_1/w: expected scales bf16 [4, 1, 16], or with more groups along axis 1 that divide 16, found "
          "bf16 "
          "[4, 1, 8]",
          "rms_norm/scale: expected no scales, found bf16 [1]", "\"evil\\x1b[2J\" is not a parameter of this network",
          "\n  transformer/decoder_layer_1/rms_norm_3/scale: missing"})
      if (message.find(line) == std::string::npos) fail(__FILE__, __LINE__, concat("no \"", line, "\" in ", message));
  }
  CHECK_EQ(source.bytes.num_reads, 0);
}

TEST("refuses a parameter that is there twice") {
  MadeUpSource source(tiny_config());
  source.list.push_back(source.list[3]);
  CHECK_ERROR(bind(source), ErrorCode::bad_checkpoint, "is not a parameter");
}

TEST("refuses a network of more layers than the checkpoint has, and of fewer") {
  GrokConfig three = tiny_config();
  three.num_layers = 3;
  CHECK_ERROR(bind(MadeUpSource(tiny_config()), three), ErrorCode::bad_checkpoint, "decoder_layer_2/router/w: missing");
  CHECK_ERROR(bind(MadeUpSource(three), tiny_config()), ErrorCode::bad_checkpoint,
              "is not a parameter of this network");
}

TEST("derives no sizes from parameters that are missing or of another rank") {
  MadeUpSource source(tiny_config());
  source.at("language_model/in_out_embed/embeddings").name = "wte";
  CHECK_ERROR(derive_sizes(source, haiku_naming()), ErrorCode::bad_checkpoint,
              "language_model/in_out_embed/embeddings");
  MadeUpSource flat(tiny_config());
  flat.at(kLayer0 + "moe/linear/w").weight.shape = {16, 16};
  CHECK_ERROR(derive_sizes(flat, haiku_naming()), ErrorCode::bad_checkpoint,
              "moe/linear/w: expected 3 axes, found i8 [16, 16]");
  MadeUpSource vast(tiny_config());
  vast.at("language_model/in_out_embed/embeddings").weight.shape = {std::uint64_t(1) << 40, 16};
  CHECK_ERROR(derive_sizes(vast, haiku_naming()), ErrorCode::bad_checkpoint, "found 1099511627776");
  MadeUpSource deep(tiny_config());
  deep.list.push_back(deep.list.back());
  deep.list.back().name = "transformer/decoder_layer_999999/router/w";
  CHECK_EQ(derive_sizes(deep, haiku_naming()).num_layers, 1'000'000);
}

TEST("takes any number of scale groups that divides the input") {
  MadeUpSource source(tiny_config());
  source.at(kLayer0 + "multi_head_attention/query/w").scales->shape = {2, 16};
  source.at(kLayer0 + "moe/linear/w").scales->shape = {4, 16, 16};
  source.at(kLayer0 + "moe/linear_1/w").scales->shape = {4, 1, 16};
  CHECK_EQ(bind(source).weights.size(), 26u);
}

TEST("derives the sizes of a network from its shapes") {
  GrokConfig config = tiny_config();
  config.num_layers = 12;
  const DerivedSizes sizes = derive_sizes(MadeUpSource(config), haiku_naming());
  CHECK_EQ(sizes.num_layers, 12);
  CHECK_EQ(sizes.vocab_size, 32);
  CHECK_EQ(sizes.d_model, 16);
  CHECK_EQ(sizes.d_ff, 16);
  CHECK_EQ(sizes.num_experts, 4);
  CHECK_EQ(sizes.q_width, 16);
  CHECK_EQ(sizes.kv_width, 8);
}

TEST("lists the matrices of each layer as they are stored") {
  const GrokConfig config = tiny_config();
  MadeUpSource source(config);
  const std::vector<LayerViews> layers = bind(source).layers;
  CHECK_EQ(layers.size(), 2u);
  const auto is = [&](const Linear& view, const std::string& name) {
    return view.weight.offset == source.at(name).weight.offset && view.scales.offset == source.at(name).scales->offset;
  };
  CHECK(is(layers[0].w_q, kLayer0 + "multi_head_attention/query/w"));
  CHECK(is(layers[1].w_k, kLayer1 + "multi_head_attention/key/w"));
  CHECK(is(layers[1].w_v, kLayer1 + "multi_head_attention/value/w"));
  CHECK(is(layers[1].w_o, kLayer1 + "multi_head_attention/linear/w"));
  CHECK(is(layers[1].w_gate, kLayer1 + "moe/linear/w"));
  CHECK(is(layers[1].w_up, kLayer1 + "moe/linear_v/w"));
  CHECK(is(layers[1].w_down, kLayer1 + "moe/linear_1/w"));
}

TEST("loads every parameter into its own place, and drops the file's pages after") {
  const GrokConfig config = tiny_config();
  MadeUpSource source(config);
  KeepingBackend backend;
  Weights weights(config.num_layers);
  const std::vector<BoundWeight> bound = bind(source).weights;
  CHECK_EQ(bound.size(), 26u);
  CHECK(!weights.embedding);
  std::uint64_t stored_bytes = 0;
  for (const BoundWeight& weight : bound) {
    weight.load(backend, weights);
    stored_bytes += weight.stored_bytes();
    CHECK_EQ(source.bytes.dropped_bytes, stored_bytes);
  }
  const Footprint& footprint = backend.footprint();
  CHECK_EQ(bound[0].resident_bytes(footprint), 5 * bound[0].stored_bytes());
  CHECK_EQ(bound[1].resident_bytes(footprint), bound[1].stored_bytes());
  CHECK_EQ(bound[2].stored, &source.at(kLayer0 + "moe/linear/w"));
  CHECK_EQ(bound[2].resident_bytes(footprint), 3u * 4 * 16 * 16);

  CHECK_EQ(bound[0].id.layer, -1);
  CHECK_EQ(bound[2].id.layer, 0);
  CHECK_EQ(bound.back().id.layer, 1);

  // Every view has an offset of its own, and vectors are filled with theirs.
  const auto matrix_is = [&](ParamId id, const std::string& name) {
    const Linear& view = static_cast<const KeptMatrix&>(*weights.matrix(id)).view;
    return view.weight.offset == source.at(name).weight.offset && view.scales.offset == source.at(name).scales->offset;
  };
  const auto vector_is = [&](ParamId id, const std::string& name) {
    const TensorView& view = source.at(name).weight;
    const BufferPtr& buffer = weights.vector(id);
    return buffer->size_bytes() == view.size_bytes() && *buffer->as<unsigned char>() == view.offset;
  };
  CHECK(static_cast<const KeptTable&>(*weights.embedding).view.offset == 0);
  CHECK(vector_is({Param::final_norm}, "language_model/rms_norm/scale"));
  for (int layer = 0; layer < 2; ++layer) {
    const std::string path = concat("transformer/decoder_layer_", layer, "/");
    CHECK(matrix_is({Param::w_gate, layer}, path + "moe/linear/w"));
    CHECK(matrix_is({Param::w_up, layer}, path + "moe/linear_v/w"));
    CHECK(matrix_is({Param::w_down, layer}, path + "moe/linear_1/w"));
    CHECK(matrix_is({Param::w_q, layer}, path + "multi_head_attention/query/w"));
    CHECK(matrix_is({Param::w_k, layer}, path + "multi_head_attention/key/w"));
    CHECK(matrix_is({Param::w_v, layer}, path + "multi_head_attention/value/w"));
    CHECK(matrix_is({Param::w_o, layer}, path + "multi_head_attention/linear/w"));
    CHECK(vector_is({Param::pre_attn_norm, layer}, path + "rms_norm/scale"));
    CHECK(vector_is({Param::post_attn_norm, layer}, path + "rms_norm_1/scale"));
    CHECK(vector_is({Param::pre_moe_norm, layer}, path + "rms_norm_2/scale"));
    CHECK(vector_is({Param::post_moe_norm, layer}, path + "rms_norm_3/scale"));
    CHECK(vector_is({Param::router, layer}, path + "router/w"));
  }
}

TEST_MAIN()
