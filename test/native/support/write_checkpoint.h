#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <random>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/tensor.h"
#include "model/config.h"
#include "support/files.h"
#include "support/pickle_writer.h"

// Checkpoints of any size with random numbers, in xAI's layout and as safetensors. It has its own list of names, order
// and shapes, because the readers of checkpoints are tested against it.
namespace grok::testing {

struct ParameterToWrite {
  std::string name;
  Shape shape;
  std::uint64_t num_groups = 0;  // of scales; 0: float32
  double spread = 1;             // standard deviation of the values
  double mean = 0;

  bool is_quantized() const { return num_groups > 0; }
  Shape scales_shape() const {
    Shape scales = shape;
    scales[scales.size() - 2] = num_groups;
    return scales;
  }
};

// All parameters in the order of xAI's files: layers by the decimal text of their number.
inline std::vector<ParameterToWrite> parameters_to_write(const model::GrokConfig& config) {
  const auto vocab_size = std::uint64_t(config.vocab_size), d_model = std::uint64_t(config.d_model);
  const auto d_ff = std::uint64_t(config.d_ff), num_experts = std::uint64_t(config.num_experts);
  const auto q_width = std::uint64_t(config.num_q_heads) * std::uint64_t(config.head_dim);
  const auto kv_width = std::uint64_t(config.num_kv_heads) * std::uint64_t(config.head_dim);
  // xAI split these two along their input over 8 devices; one group if that does not divide.
  const auto groups_of = [](std::uint64_t d_in) { return d_in % 8 == 0 ? std::uint64_t(8) : std::uint64_t(1); };
  const auto keep_size = [](std::uint64_t d_in) { return 1 / std::sqrt(double(d_in)); };

  std::vector<std::string> layers;
  for (int layer = 0; layer < config.num_layers; ++layer) layers.push_back(std::to_string(layer));
  std::sort(layers.begin(), layers.end());

  std::vector<ParameterToWrite> all = {
      {"language_model/in_out_embed/embeddings", {vocab_size, d_model}, 0, 1 / config.embedding_scale},
      {"language_model/rms_norm/scale", {d_model}, 0, 0.1, 1}};
  for (const std::string& layer : layers) {
    const std::string path = "transformer/decoder_layer_" + layer + "/";
    all.push_back({path + "moe/linear/w", {num_experts, d_model, d_ff}, 1, keep_size(d_model)});
    all.push_back({path + "moe/linear_1/w", {num_experts, d_ff, d_model}, groups_of(d_ff), keep_size(d_ff)});
    all.push_back({path + "moe/linear_v/w", {num_experts, d_model, d_ff}, 1, keep_size(d_model)});
    all.push_back({path + "multi_head_attention/key/w", {d_model, kv_width}, 1, keep_size(d_model)});
    all.push_back({path + "multi_head_attention/linear/w", {q_width, d_model}, groups_of(q_width), keep_size(q_width)});
    all.push_back({path + "multi_head_attention/query/w", {d_model, q_width}, 1, keep_size(d_model)});
    all.push_back({path + "multi_head_attention/value/w", {d_model, kv_width}, 1, keep_size(d_model)});
    for (const char* norm : {"rms_norm", "rms_norm_1", "rms_norm_2", "rms_norm_3"})
      all.push_back({path + norm + "/scale", {d_model}, 0, 0.1, 1});
    all.push_back({path + "router/w", {d_model, num_experts}, 0, keep_size(d_model)});
  }
  return all;
}

struct MadeUpNumbers {
  std::vector<float> values;          // float32 parameters
  std::vector<std::int8_t> weight;    // quantised ones
  std::vector<std::uint16_t> scales;  // bf16
};

// The same numbers for the same seed and name, whatever the format.
inline MadeUpNumbers make_up(const ParameterToWrite& parameter, std::uint64_t seed) {
  std::seed_seq sequence(parameter.name.begin(), parameter.name.end());
  std::vector<std::uint32_t> seeds(2);
  sequence.generate(seeds.begin(), seeds.end());
  std::mt19937_64 generator(seed ^ (std::uint64_t(seeds[0]) << 32 | seeds[1]));

  MadeUpNumbers numbers;
  if (!parameter.is_quantized()) {
    std::normal_distribution<double> normal(parameter.mean, parameter.spread);
    numbers.values.resize(num_elements(parameter.shape));
    for (float& value : numbers.values) value = float(normal(generator));
    return numbers;
  }
  constexpr double kSpreadOfInt8 = 73.9;  // of whole numbers from -128 to 127, evenly spread
  numbers.weight.resize(num_elements(parameter.shape));
  for (std::int8_t& value : numbers.weight) value = std::int8_t(generator());
  numbers.scales.resize(num_elements(parameter.scales_shape()));
  for (std::uint16_t& scale : numbers.scales) {
    const double gain = 0.5 + double(generator() % 1024) / 1024;  // so that a wrong row or column shows
    scale = f32_to_bf16(float(gain * parameter.spread / kSpreadOfInt8));
  }
  return numbers;
}

// ---------------------------------------------------------------- config.json

// In xAI's field names.
inline void write_config(const std::string& path, const model::GrokConfig& config) {
  // The factor from which ffn_size() computes this d_ff: int(factor * emb) * 2 // 3, rounded up to a multiple of 8.
  if (config.d_ff % 8 != 0) throw Error(ErrorCode::invalid_argument, "expected d_ff to be a multiple of 8");
  const double widening_factor = double(config.d_ff) * 1.5 / config.d_model;
  std::ofstream out(path);
  out << std::setprecision(17) << "{\n"
      << " \"model_type\": \"grok-1\",\n"
      << " \"vocab_size\": " << config.vocab_size << ",\n"
      << " \"pad_token\": " << config.pad_id << ",\n"
      << " \"eos_token\": " << config.eos_id << ",\n"
      << " \"sequence_len\": " << config.context_length << ",\n"
      << " \"output_multiplier_scale\": " << config.logit_scale << ",\n"
      << " \"embedding_multiplier_scale\": " << config.embedding_scale << ",\n"
      << " \"model\": {\n"
      << "  \"emb_size\": " << config.d_model << ",\n"
      << "  \"widening_factor\": " << widening_factor << ",\n"
      << "  \"key_size\": " << config.head_dim << ",\n"
      << "  \"num_q_heads\": " << config.num_q_heads << ",\n"
      << "  \"num_kv_heads\": " << config.num_kv_heads << ",\n"
      << "  \"num_layers\": " << config.num_layers << ",\n"
      << "  \"attn_output_multiplier\": " << config.attn_logit_scale << ",\n"
      << "  \"num_experts\": " << config.num_experts << ",\n"
      << "  \"num_selected_experts\": " << config.experts_per_token << "\n"
      << " },\n"
      << " \"derived\": {\n"
      << "  \"ffn_size\": " << config.d_ff << ",\n"
      << "  \"rope_base\": " << config.rope_base << ",\n"
      << "  \"rms_norm_eps\": " << config.norm_eps << ",\n"
      << "  \"attn_logit_cap\": " << config.attn_logit_cap << "\n"
      << " }\n"
      << "}\n";
  if (!out.flush()) throw Error(ErrorCode::io, path + ": cannot be written");
}

// A network small enough to be read a thousand times in a test.
inline model::GrokConfig tiny_config() {
  return {.vocab_size = 32,
          .context_length = 64,
          .d_model = 16,
          .num_layers = 2,
          .num_q_heads = 4,
          .num_kv_heads = 2,
          .head_dim = 4,
          .d_ff = 16,
          .num_experts = 4,
          .experts_per_token = 2,
          .embedding_scale = 4,
          .attn_logit_scale = 0.5};
}

// ---------------------------------------------------------------- ckpt-0

enum class Payloads { made_up, holes };

// DIRECTORY/ckpt-0/tensor00000_000 .. and no config.json.
inline void write_jax_tensors(const std::string& directory, const model::GrokConfig& config, Numpy numpy,
                              std::uint64_t seed, Payloads payloads = Payloads::made_up) {
  const std::string folder = directory + "/ckpt-0";
  std::filesystem::create_directories(folder);
  std::size_t number = 0;
  for (const ParameterToWrite& parameter : parameters_to_write(config)) {
    char name[32];
    std::snprintf(name, sizeof name, "/tensor%05zu_000", number++);
    OutputFile file(folder + name);
    PickleWriter pickle(file, numpy);
    const MadeUpNumbers numbers = payloads == Payloads::made_up ? make_up(parameter, seed) : MadeUpNumbers{};
    if (parameter.is_quantized()) {
      pickle.write_quantized({DType::i8, parameter.shape, std::as_bytes(std::span(numbers.weight))},
                             {DType::bf16, parameter.scales_shape(), std::as_bytes(std::span(numbers.scales))});
    } else {
      pickle.write_array({DType::f32, parameter.shape, std::as_bytes(std::span(numbers.values))});
    }
  }
}

// DIRECTORY/ckpt-0/ and DIRECTORY/config.json.
inline void write_jax_checkpoint(const std::string& directory, const model::GrokConfig& config, Numpy numpy = Numpy::v1,
                                 std::uint64_t seed = 1) {
  write_jax_tensors(directory, config, numpy, seed);
  write_config(directory + "/config.json", config);
}

// ---------------------------------------------------------------- safetensors

inline std::string safetensors_entry(const std::string& name, DType dtype, const Shape& shape, std::uint64_t& offset) {
  const std::uint64_t end = offset + checked_mul(num_elements(shape), size_of(dtype));
  const char* type = dtype == DType::f32 ? "F32" : dtype == DType::bf16 ? "BF16" : "I8";
  const std::string entry = concat("\"", name, "\":{\"dtype\":\"", type, "\",\"shape\":", to_string(shape),
                                   ",\"data_offsets\":[", offset, ",", end, "]}");
  offset = end;
  return entry;
}

inline void write_safetensors_file(const std::string& path, const std::vector<ParameterToWrite>& parameters,
                                   std::uint64_t seed) {
  std::string header = "{\"__metadata__\":{\"format\":\"grok-run\"}";
  std::uint64_t offset = 0;
  for (const ParameterToWrite& parameter : parameters) {
    const bool is_quantized = parameter.is_quantized();
    header += "," + safetensors_entry(parameter.name, is_quantized ? DType::i8 : DType::f32, parameter.shape, offset);
    if (is_quantized)
      header += "," + safetensors_entry(parameter.name + ".scales", DType::bf16, parameter.scales_shape(), offset);
  }
  header += "}";
  header.append((8 - header.size() % 8) % 8, ' ');

  OutputFile file(path);
  const std::uint64_t header_bytes = header.size();
  file.write(std::as_bytes(std::span(&header_bytes, 1)));
  file.write(header);
  for (const ParameterToWrite& parameter : parameters) {
    const MadeUpNumbers numbers = make_up(parameter, seed);
    file.write(std::as_bytes(std::span(numbers.values)));
    file.write(std::as_bytes(std::span(numbers.weight)));
    file.write(std::as_bytes(std::span(numbers.scales)));
  }
}

// DIRECTORY/model.safetensors or, with several shards, model.safetensors.index.json and its files; and config.json.
inline void write_safetensors(const std::string& directory, const model::GrokConfig& config, std::uint64_t seed = 1,
                              std::size_t num_shards = 1) {
  std::filesystem::create_directories(directory);
  write_config(directory + "/config.json", config);
  const std::vector<ParameterToWrite> all = parameters_to_write(config);
  if (num_shards == 1) return write_safetensors_file(directory + "/model.safetensors", all, seed);

  std::string map;
  for (std::size_t shard = 0; shard < num_shards; ++shard) {
    char name[64];
    std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", shard + 1, num_shards);
    std::vector<ParameterToWrite> own;
    for (std::size_t index = shard; index < all.size(); index += num_shards) own.push_back(all[index]);
    for (const ParameterToWrite& parameter : own) {
      map += concat(map.empty() ? "" : ",", "\"", parameter.name, "\":\"", name, "\"");
      if (parameter.is_quantized()) map += concat(",\"", parameter.name, ".scales\":\"", name, "\"");
    }
    write_safetensors_file(directory + "/" + name, own, seed);
  }
  write_file(directory + "/model.safetensors.index.json",
             "{\"metadata\":{\"total_size\":0},\"weight_map\":{" + map + "}}");
}

}  // namespace grok::testing
