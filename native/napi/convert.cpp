#include "napi/convert.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string_view>
#include <utility>

#include "core/error.h"

namespace grok::napi {
namespace {

[[noreturn]] void throw_type_error(Napi::Value value, const char* name, const char* expected) {
  throw Napi::TypeError::New(value.Env(), concat("Expected `", name, "` to be ", expected, ", found ",
                                                 std::string(value.ToString()).substr(0, 80)));
}

double number_from(Napi::Value value, const char* name) {
  if (!value.IsNumber()) throw_type_error(value, name, "a number");
  return value.As<Napi::Number>().DoubleValue();
}

double integer_from(Napi::Value value, const char* name, double least, double most) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (!(number >= least && number <= most) || number != std::floor(number))
    throw_type_error(value, name, least < 0 ? "a 32-bit integer" : "an integer in [0, 2^53)");
  return number;
}

std::uint64_t uint53_from(Napi::Value value, const char* name) {
  return std::uint64_t(integer_from(value, name, 0, 0x1p53 - 1));
}

Napi::Object object_from(Napi::Value value, const char* name) {
  if (!value.IsObject()) throw_type_error(value, name, "an object");
  return value.As<Napi::Object>();
}

std::vector<float> floats_from(Napi::Value value, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array)
    throw_type_error(value, name, "a Float32Array");
  const auto array = value.As<Napi::Float32Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

void read(Napi::Value value, const char* name, float& into) { into = float(number_from(value, name)); }
void read(Napi::Value value, const char* name, std::int32_t& into) { into = int32_from(value, name); }

// Converts "top_p" to "topP".
std::string camel_case(std::string_view name) {
  std::string camel;
  bool is_start = false;  // of the second or a later word
  for (const char letter : name) {
    if (letter != '_') camel += is_start ? char(letter - 'a' + 'A') : letter;
    is_start = letter == '_';
  }
  return camel;
}

runtime::PromptOutputs prompt_outputs_from(Napi::Value value) {
  const std::string name = string_from(value, "promptOutputs");
  if (name == "none") return runtime::PromptOutputs::none;
  if (name == "logprobs") return runtime::PromptOutputs::logprobs;
  if (name == "logits") return runtime::PromptOutputs::logits;
  throw_type_error(value, "promptOutputs", "'none', 'logprobs' or 'logits'");
}

const char* name_of(runtime::Finish finish) {
  switch (finish) {
    case runtime::Finish::no: return "no";
    case runtime::Finish::stop: return "stop";
    case runtime::Finish::length: return "length";
  }
  return "no";
}

Napi::Number to_js(Napi::Env env, std::uint64_t number) { return Napi::Number::New(env, double(number)); }

Napi::Array to_js(Napi::Env env, const Shape& shape) {
  Napi::Array array = Napi::Array::New(env, shape.size());
  for (std::uint32_t axis = 0; axis < shape.size(); ++axis) array.Set(axis, to_js(env, shape[axis]));
  return array;
}

Napi::Object to_js(Napi::Env env, const model::GrokConfig& config) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("vocabSize", config.vocab_size);
  object.Set("contextLength", config.context_length);
  object.Set("dModel", config.d_model);
  object.Set("numLayers", config.num_layers);
  object.Set("numQHeads", config.num_q_heads);
  object.Set("numKvHeads", config.num_kv_heads);
  object.Set("headDim", config.head_dim);
  object.Set("dFf", config.d_ff);
  object.Set("numExperts", config.num_experts);
  object.Set("expertsPerToken", config.experts_per_token);
  object.Set("embeddingScale", config.embedding_scale);
  object.Set("logitScale", config.logit_scale);
  object.Set("attnLogitScale", config.attn_logit_scale);
  object.Set("attnLogitCap", config.attn_logit_cap);
  object.Set("ropeBase", config.rope_base);
  object.Set("normEps", config.norm_eps);
  object.Set("padId", config.pad_id);
  object.Set("bosId", config.bos_id);
  object.Set("eosId", config.eos_id);
  return object;
}

Napi::Object to_js(Napi::Env env, const model::GenerationConfig& generation) {
  Napi::Object object = Napi::Object::New(env);
  for (const auto& [name, value] : generation.sampling) object.Set(camel_case(name), value);
  if (generation.max_tokens) object.Set("maxTokens", *generation.max_tokens);
  Napi::Array eos_ids = Napi::Array::New(env, generation.eos_ids.size());
  for (std::uint32_t index = 0; index < generation.eos_ids.size(); ++index)
    eos_ids.Set(index, generation.eos_ids[index]);
  object.Set("eosIds", eos_ids);
  return object;
}

Napi::Object to_js(Napi::Env env, const runtime::MemoryPlan& memory) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("weights", to_js(env, memory.weights));
  object.Set("weightStorage", name_of(memory.weight_storage));
  object.Set("kvCache", to_js(env, memory.kv_cache));
  object.Set("kvCacheType", name_of(memory.kv_cache_type));
  object.Set("workspace", to_js(env, memory.workspace));
  object.Set("reserve", to_js(env, memory.reserve));
  object.Set("total", to_js(env, memory.total()));
  object.Set("available", memory.available ? Napi::Value(to_js(env, *memory.available)) : env.Null());
  return object;
}

Napi::Object to_js(Napi::Env env, const ProbeRate& rate) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("min", rate.min);
  object.Set("median", rate.median);
  object.Set("max", rate.max);
  return object;
}

Napi::Object to_js(Napi::Env env, const runtime::TensorInfo& tensor) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("name", tensor.name);
  object.Set("file", tensor.file);
  object.Set("dtype", tensor.dtype);
  object.Set("shape", to_js(env, tensor.shape));
  object.Set("scalesShape", to_js(env, tensor.scales_shape));
  object.Set("sizeBytes", to_js(env, tensor.size_bytes));
  return object;
}

Napi::Object to_js(Napi::Env env, const SampledToken& sampled) {
  Napi::Int32Array tokens = Napi::Int32Array::New(env, sampled.top.size());
  Napi::Float32Array logprobs = Napi::Float32Array::New(env, sampled.top.size());
  for (std::size_t rank = 0; rank < sampled.top.size(); ++rank) {
    tokens[rank] = sampled.top[rank].token;
    logprobs[rank] = sampled.top[rank].logprob;
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("token", sampled.token);
  object.Set("logprob", sampled.logprob);
  object.Set("topTokens", tokens);
  object.Set("topLogprobs", logprobs);
  return object;
}

// Transfers the memory without copying: a chunk of logits can be 64 MB.
Napi::Float32Array to_js(Napi::Env env, std::vector<float> values) {
  const std::size_t length = values.size();
  auto owner = std::make_unique<std::vector<float>>(std::move(values));
  napi_value buffer;
  const auto release = [](napi_env, void*, void* memory) { delete static_cast<std::vector<float>*>(memory); };
  if (napi_create_external_arraybuffer(env, owner->data(), length * sizeof(float), release, owner.get(), &buffer) ==
      napi_ok) {
    owner.release();
    return Napi::Float32Array::New(env, length, Napi::ArrayBuffer(env, buffer), 0);
  }
  // Electron allows only V8's own memory.
  Napi::Float32Array copy = Napi::Float32Array::New(env, length);
  std::copy(owner->begin(), owner->end(), copy.Data());
  return copy;
}

Napi::Object to_js(Napi::Env env, runtime::SequenceOutput output) {
  Napi::Array prompt = Napi::Array::New(env, output.prompt.size());
  for (std::uint32_t index = 0; index < output.prompt.size(); ++index)
    prompt.Set(index, to_js(env, output.prompt[index]));

  Napi::Object object = Napi::Object::New(env);
  object.Set("sequence", double(output.sequence));
  object.Set("promptTokensDone", output.prompt_tokens_done);
  object.Set("token", output.token ? Napi::Value(to_js(env, *output.token)) : env.Null());
  object.Set("prompt", prompt);
  object.Set("logits", output.logits.empty() ? env.Null() : Napi::Value(to_js(env, std::move(output.logits))));
  object.Set("finish", name_of(output.finish));
  object.Set("notFiniteAt",
             output.not_finite_at ? Napi::Value(Napi::Number::New(env, *output.not_finite_at)) : env.Null());
  return object;
}

bool bool_from(Napi::Value value, const char* name) {
  if (!value.IsBoolean()) throw_type_error(value, name, "true or false");
  return value.As<Napi::Boolean>();
}

}  // namespace

std::string string_from(Napi::Value value, const char* name) {
  if (!value.IsString()) throw_type_error(value, name, "a string");
  return value.As<Napi::String>();
}

std::int32_t int32_from(Napi::Value value, const char* name) {
  using Limits = std::numeric_limits<std::int32_t>;
  return std::int32_t(integer_from(value, name, Limits::min(), Limits::max()));
}

runtime::SequenceId sequence_from(Napi::Value value, const char* name) {
  return runtime::SequenceId(uint53_from(value, name));
}

std::vector<runtime::SequenceId> sequences_from(Napi::Value value, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array)
    throw_type_error(value, name, "a Float64Array");
  const auto array = value.As<Napi::Float64Array>();
  std::vector<runtime::SequenceId> sequences;
  for (std::size_t index = 0; index < array.ElementLength(); ++index) {
    const double sequence = array[index];
    if (!(sequence >= 0 && sequence < 0x1p53)) throw_type_error(value, name, "ids of sequences");
    sequences.push_back(runtime::SequenceId(sequence));
  }
  return sequences;
}

std::vector<std::int32_t> int32s_from(Napi::Value value, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array)
    throw_type_error(value, name, "an Int32Array");
  const auto array = value.As<Napi::Int32Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

ShapeRequest shape_from(Napi::Value value) {
  const Napi::Object object = object_from(value, "shape");
  return {.name = string_from(object.Get("name"), "name"), .num_layers = int32_from(object.Get("layers"), "layers")};
}

runtime::EngineOptions engine_options_from(Napi::Value value) {
  const Napi::Object object = object_from(value, "options");
  return {.device = string_from(object.Get("device"), "device"),
          .num_threads = int32_from(object.Get("threads"), "threads"),
          .isa = string_from(object.Get("isa"), "isa"),
          .context_length = int32_from(object.Get("contextSize"), "contextSize"),
          .max_sequences = int32_from(object.Get("maxSequences"), "maxSequences"),
          .prefill_chunk = int32_from(object.Get("prefillChunk"), "prefillChunk"),
          .kv_cache_type = string_from(object.Get("kvCacheType"), "kvCacheType"),
          .weights = string_from(object.Get("weights"), "weights"),
          .prefix_cache = bool_from(object.Get("prefixCache"), "prefixCache"),
          .memory_limit = uint53_from(object.Get("memoryLimit"), "memoryLimit")};
}

runtime::SequenceRequest request_from(Napi::Value value) {
  const Napi::Object object = object_from(value, "request");
  runtime::SequenceRequest request;
  request.prompt = int32s_from(object.Get("prompt"), "prompt");
  request.max_tokens = int32_from(object.Get("maxTokens"), "maxTokens");
  request.prompt_outputs = prompt_outputs_from(object.Get("promptOutputs"));
  for_each_option(request.sampling, [&](const auto& option, auto& value) {
    const std::string name = camel_case(option.name);
    read(object.Get(name), name.c_str(), value);
  });
  request.sampling.num_logprobs = int32_from(object.Get("numLogprobs"), "numLogprobs");
  request.seed = uint53_from(object.Get("seed"), "seed");
  request.stop_tokens = int32s_from(object.Get("stopTokens"), "stopTokens");

  const std::vector<std::int32_t> tokens = int32s_from(object.Get("biasTokens"), "biasTokens");
  const std::vector<float> biases = floats_from(object.Get("biasValues"), "biasValues");
  if (tokens.size() != biases.size())
    throw_type_error(object.Get("biasValues"), "biasValues", "as long as `biasTokens`");
  for (std::size_t index = 0; index < tokens.size(); ++index)
    request.bias.push_back({.token = tokens[index], .bias = biases[index]});
  return request;
}

Napi::Object to_js(Napi::Env env, const runtime::Inspection& inspection) {
  Napi::Array tensors = Napi::Array::New(env, inspection.tensors.size());
  for (std::uint32_t index = 0; index < inspection.tensors.size(); ++index) {
    const Napi::HandleScope scope(env);
    tensors.Set(index, to_js(env, inspection.tensors[index]));
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("path", inspection.path);
  object.Set("format", inspection.format);
  object.Set("configFrom", inspection.config_from);
  object.Set("tokenizer", inspection.tokenizer);
  object.Set("config", to_js(env, inspection.config));
  object.Set("generation", to_js(env, inspection.generation));
  object.Set("tensors", tensors);
  object.Set("fileBytes", to_js(env, inspection.file_bytes));
  object.Set("numParameters", to_js(env, inspection.num_parameters));
  object.Set("numActiveParameters", to_js(env, inspection.num_active_parameters));
  object.Set("weightBytesPerToken", to_js(env, inspection.weight_bytes_per_token));
  object.Set("memory", to_js(env, inspection.memory));
  object.Set("device", inspection.device);
  object.Set("whyCpu", inspection.why_cpu);
  object.Set("isPlan", inspection.is_plan);
  return object;
}

Napi::Object to_js(Napi::Env env, const cpu::Probe& probe) {
  Napi::Array multiply_adds = Napi::Array::New(env, probe.multiply_adds.size());
  for (std::uint32_t index = 0; index < probe.multiply_adds.size(); ++index) {
    const cpu::MultiplyAddRate& entry = probe.multiply_adds[index];
    Napi::Object object = to_js(env, entry.rate);
    object.Set("name", entry.name);
    object.Set("perProduct", entry.per_product);
    multiply_adds.Set(index, object);
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("isa", probe.isa);
  object.Set("threads", probe.num_threads);
  object.Set("bufferBytes", to_js(env, probe.buffer_bytes));
  object.Set("read", to_js(env, probe.read));
  object.Set("multiplyAdds", multiply_adds);
  return object;
}

Napi::Object to_js(Napi::Env env, const cuda::Probe& probe) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("device", probe.device);
  object.Set("bufferBytes", to_js(env, probe.buffer_bytes));
  object.Set("read", to_js(env, probe.read));
  object.Set("copy", to_js(env, probe.copy));
  return object;
}

Napi::Object to_js(Napi::Env env, const runtime::LoadProgress& progress) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("tensor", progress.tensor);
  object.Set("loadedBytes", to_js(env, progress.loaded_bytes));
  object.Set("totalBytes", to_js(env, progress.total_bytes));
  object.Set("done", progress.done);
  return object;
}

Napi::Object to_js(Napi::Env env, const runtime::TokenizerFile& file) {
  Napi::Uint8Array bytes = Napi::Uint8Array::New(env, file.bytes.size());
  std::copy(file.bytes.begin(), file.bytes.end(), bytes.Data());
  Napi::Object object = Napi::Object::New(env);
  object.Set("bytes", bytes);
  object.Set("sizeBytes", to_js(env, file.size_bytes));
  object.Set("mistake", file.mistake ? file.mistake->name : "");
  object.Set("fix", file.mistake ? file.mistake->fix : "");
  return object;
}

Napi::Object to_js(Napi::Env env, const runtime::EngineStats& stats) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("steps", to_js(env, stats.steps));
  object.Set("promptTokens", to_js(env, stats.prompt_tokens));
  object.Set("reusedTokens", to_js(env, stats.reused_tokens));
  object.Set("generatedTokens", to_js(env, stats.generated_tokens));
  object.Set("cachePages", stats.cache_pages);
  object.Set("freeCachePages", stats.free_cache_pages);
  object.Set("prefixCachePages", stats.prefix_cache_pages);
  object.Set("pageTokens", kPageSize);
  return object;
}

Napi::Array to_js(Napi::Env env, std::vector<runtime::SequenceOutput>&& outputs) {
  Napi::Array array = Napi::Array::New(env, outputs.size());
  for (std::uint32_t index = 0; index < outputs.size(); ++index)
    array.Set(index, to_js(env, std::move(outputs[index])));
  return array;
}

Napi::Array to_js(Napi::Env env, const std::vector<std::string>& strings) {
  Napi::Array array = Napi::Array::New(env, strings.size());
  for (std::uint32_t index = 0; index < strings.size(); ++index) array.Set(index, strings[index]);
  return array;
}

}  // namespace grok::napi
