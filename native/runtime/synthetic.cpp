#include "runtime/synthetic.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/checked.h"
#include "core/error.h"
#include "model/haiku_naming.h"
#include "model/read_config.h"
#include "platform/file.h"

namespace grok::runtime {
namespace {

// ---------------------------------------------------------------- shapes

struct NamedShape {
  const char* name;
  model::GrokConfig config;
};

model::GrokConfig with_usual_scales(model::GrokConfig config) {
  config.embedding_scale = std::sqrt(config.d_model);
  config.attn_logit_scale = 1 / std::sqrt(config.head_dim);
  return config;
}

std::vector<NamedShape> named_shapes() {
  model::GrokConfig slice;
  slice.vocab_size = 8192;
  slice.num_layers = 2;
  return {{"tiny", with_usual_scales({.vocab_size = 1024,
                                      .context_length = 512,
                                      .d_model = 256,
                                      .num_layers = 2,
                                      .num_q_heads = 8,
                                      .num_kv_heads = 2,
                                      .head_dim = 32,
                                      .d_ff = 768})},
          {"mid", with_usual_scales({.vocab_size = 32768,
                                     .context_length = 8192,
                                     .d_model = 1536,
                                     .num_layers = 6,
                                     .num_q_heads = 12,
                                     .num_kv_heads = 2,
                                     .head_dim = 128,
                                     .d_ff = 8192})},
          {"slice", slice},
          {"grok1", model::GrokConfig()}};
}

model::GrokConfig named_or_read(const std::string& name_or_path) {
  std::string names;
  for (const NamedShape& shape : named_shapes()) {
    if (name_or_path == shape.name) return shape.config;
    names += std::string(shape.name) + ", ";
  }
  if (platform::examine(name_or_path) == platform::PathKind::missing)
    throw Error(ErrorCode::invalid_argument,
                concat("expected a shape to be ", names, "or the path of a config.json, found \"", name_or_path, "\""));
  return model::read_config(name_or_path);
}

// ---------------------------------------------------------------- numbers

constexpr std::uint64_t kWordBytes = 8;
constexpr double kByteStd = 73.6;  // of the values -127 .. 127

// The w-th output of wyrand: eight bytes for one wide multiplication. Source: wangyi-fudan/wyhash, wyhash.h:wyrand
inline std::uint64_t hash(std::uint64_t key, std::uint64_t w) {
  const std::uint64_t state = key + (w + 1) * 0xa0761d6478bd642fu;
  const auto product = static_cast<unsigned __int128>(state) * (state ^ 0xe7037ed1a0b428dbu);
  return std::uint64_t(product >> 64) ^ std::uint64_t(product);
}

// Hashes the seed and a name with FNV-1a.
std::uint64_t key_of(std::uint64_t seed, std::string_view name) {
  std::uint64_t key = 0xcbf29ce484222325u ^ hash(seed, 0);
  for (const char character : name) key = (key ^ std::uint8_t(character)) * 0x100000001b3u;
  return key;
}

// int8, eight at a time. -128 becomes 0, so that the mean is 0.
struct RandomBytes {
  std::uint64_t key;

  std::uint64_t word(std::uint64_t w) const {
    constexpr std::uint64_t kLow = 0x7f7f7f7f7f7f7f7fu, kHigh = ~kLow;
    const std::uint64_t bytes = hash(key, w);
    const std::uint64_t flipped = bytes ^ kHigh;  // 0 where the byte was -128
    return bytes ^ (~(((flipped & kLow) + kLow) | flipped) & kHigh);
  }
};

// bf16 scales from 0.5 to 1.5 times `mean`, four at a time.
struct RandomScales {
  std::uint64_t key;
  float mean;

  std::uint64_t word(std::uint64_t w) const {
    const std::uint64_t bits = hash(key, w);
    std::uint64_t out = 0;
    for (int lane = 0; lane < 64; lane += 16) {
      const float unit = float((bits >> lane) & 0xFFFF) * 0x1p-16f;
      out |= std::uint64_t(f32_to_bf16(mean * (0.5f + unit))) << lane;
    }
    return out;
  }
};

// float32, uniform in -bound .. bound, two at a time.
struct RandomFloats {
  std::uint64_t key;
  float bound;

  std::uint64_t word(std::uint64_t w) const {
    const std::uint64_t bits = hash(key, w);
    const auto value = [this](std::uint64_t part) {
      return std::uint64_t(std::bit_cast<std::uint32_t>(float(std::int32_t(std::uint32_t(part))) * 0x1p-31f * bound));
    };
    return value(bits) | value(bits >> 32) << 32;
  }
};

struct Ones {
  std::uint64_t word(std::uint64_t) const { return 0x3f8000003f800000u; }
};

// A source whose 8-byte words a generator computes from their index.
template <typename Generator>
class GeneratedBytes final : public ByteSource {
 public:
  explicit GeneratedBytes(Generator generator) : generator_(generator) {}

  void read(std::uint64_t offset, std::span<std::byte> out) const override {
    std::byte* to = out.data();
    std::size_t left = out.size();
    std::uint64_t w = offset / kWordBytes;
    if (const std::size_t skipped = offset % kWordBytes; skipped > 0 && left > 0) {
      const std::size_t taken = std::min(left, kWordBytes - skipped);
      const std::uint64_t word = generator_.word(w++);
      std::memcpy(to, reinterpret_cast<const std::byte*>(&word) + skipped, taken);
      to += taken;
      left -= taken;
    }
    for (; left >= kWordBytes; left -= kWordBytes, to += kWordBytes) {
      const std::uint64_t word = generator_.word(w++);
      std::memcpy(to, &word, kWordBytes);
    }
    if (left > 0) {
      const std::uint64_t word = generator_.word(w);
      std::memcpy(to, &word, left);
    }
  }

 private:
  const Generator generator_;
};

// ---------------------------------------------------------------- parameters

class SyntheticSource final : public format::TensorSource {
 public:
  SyntheticSource(const model::GrokConfig& config, std::uint64_t seed, int num_scale_groups)
      : config_(config), seed_(seed), num_scale_groups_(std::uint64_t(num_scale_groups)) {
    for (const std::string& name : model::haiku_names(config.num_layers)) add(name);
    for (const format::StoredParameter& parameter : parameters_) {
      size_bytes_ = checked_add(size_bytes_, parameter.weight.size_bytes());
      if (parameter.scales) size_bytes_ = checked_add(size_bytes_, parameter.scales->size_bytes());
    }
  }

  const std::vector<format::StoredParameter>& parameters() const override { return parameters_; }
  std::uint64_t size_bytes() const override { return size_bytes_; }
  std::string description() const override { return concat("synthetic (seed ", seed_, ")"); }

 private:
  void add(const std::string& name) {
    const model::Param param = model::haiku_naming().id_of(name).value().param;
    const Shape shape = model::shape_of(param, config_);
    if (model::is_matrix(param)) {
      const bool has_groups = param == model::Param::w_down || param == model::Param::w_o;
      const std::uint64_t d_in = shape[shape.size() - 2];
      matrix(name, shape, has_groups && d_in % num_scale_groups_ == 0 ? num_scale_groups_ : 1);
    } else if (param == model::Param::embedding) {
      floats(name, shape, 1 / config_.embedding_scale);
    } else if (param == model::Param::router) {
      floats(name, shape, 3 / std::sqrt(double(config_.d_model)));
    } else {
      ones(name, shape);
    }
  }

  template <typename Generator>
  TensorView view(DType dtype, const Shape& shape, Generator generator) {
    sources_.push_back(std::make_unique<GeneratedBytes<Generator>>(generator));
    return {.dtype = dtype, .shape = shape, .source = sources_.back().get(), .offset = 0};
  }

  void keep(const std::string& name, TensorView weight, std::optional<TensorView> scales = std::nullopt) {
    parameters_.push_back(
        {.name = name, .file = "synthetic", .weight = std::move(weight), .scales = std::move(scales)});
  }

  void ones(const std::string& name, const Shape& shape) { keep(name, view(DType::f32, shape, Ones{})); }

  void floats(const std::string& name, const Shape& shape, double std) {
    keep(name, view(DType::f32, shape, RandomFloats{key_of(seed_, name), float(std::sqrt(3.0) * std)}));
  }

  void matrix(const std::string& name, const Shape& shape, std::uint64_t num_groups) {
    const std::uint64_t d_in = shape[shape.size() - 2];
    Shape scales_shape = shape;
    scales_shape[shape.size() - 2] = num_groups;
    const RandomScales scales{key_of(seed_, name + "#scales"), float(1 / (kByteStd * std::sqrt(double(d_in))))};
    TensorView weight = view(DType::i8, shape, RandomBytes{key_of(seed_, name)});
    keep(name, std::move(weight), view(DType::bf16, scales_shape, scales));
  }

  const model::GrokConfig config_;
  const std::uint64_t seed_;
  const std::uint64_t num_scale_groups_;
  std::vector<std::unique_ptr<ByteSource>> sources_;
  std::vector<format::StoredParameter> parameters_;
  std::uint64_t size_bytes_ = 0;
};

}  // namespace

model::GrokConfig synthetic_shape(const std::string& name_or_path, int num_layers) {
  if (num_layers < 0)
    throw Error(ErrorCode::invalid_argument,
                concat("expected num_layers to be positive, or 0 for the shape's own; found ", num_layers));
  model::GrokConfig config = named_or_read(name_or_path);
  if (num_layers > 0) config.num_layers = num_layers;
  return config;
}

model::GrokConfig shard_of(const model::GrokConfig& config, int num_shards) {
  const auto share_of = [num_shards](const char* what, int whole) {
    if (num_shards < 1 || whole % num_shards != 0)
      throw Error(ErrorCode::invalid_argument,
                  concat("expected a number of shards that divides ", what, ", ", whole, "; found ", num_shards));
    return whole / num_shards;
  };
  model::GrokConfig shard = config;
  shard.num_kv_heads = share_of("num_kv_heads", config.num_kv_heads);
  shard.num_q_heads = share_of("num_q_heads", config.num_q_heads);
  shard.d_ff = share_of("d_ff", config.d_ff);
  shard.vocab_size = share_of("vocab_size", config.vocab_size);
  return shard;
}

std::unique_ptr<format::TensorSource> make_synthetic_source(const model::GrokConfig& config, std::uint64_t seed,
                                                            int num_scale_groups) {
  return std::make_unique<SyntheticSource>(config, seed, num_scale_groups);
}

}  // namespace grok::runtime
