// The time of each operation of backend.h within real forward passes, on made-up weights.
//
//   bench_ops [--device cpu|cuda] [--shape NAME|FILE,...] [--layers N] [--threads N] [--isa NAME] [--tokens N,...] [--context N]
//             [--kv-cache-type NAME] [--reps N]
//
// For each shape and number of tokens in a step: calls, microseconds a call (min / median / max), and at the median the
// bytes of weights or cache that it must read and the multiply-adds that it must make. Small shapes stay in the caches:
// their GB/s are not of memory.

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "backend/cpu/cpu.h"
#if defined(GROK_WITH_CUDA)
#include "backend/cuda/cuda.h"
#endif
#include "core/error.h"
#include "model/check_config.h"
#include "model/forward.h"
#include "model/weights.h"
#include "runtime/kv_cache.h"
#include "runtime/synthetic.h"

namespace {

using namespace grok;

struct Request {
  std::string device = "cpu";
  std::vector<std::string> shapes = {"tiny", "mid", "slice"};
  int num_layers = 1;
  int num_threads = 0;
  std::string isa = {};
  std::vector<int> num_tokens = {1, 8, 128};
  int context = 128;  // tokens in the cache before the step
  KvCacheType kv_cache_type = KvCacheType::f32;
  int reps = 5;
};

// What one call must do at least.
struct Work {
  double bytes = 0;  // of weights and cache
  double macs = 0;
};

struct Timed {
  std::vector<double> microseconds;
  Work work;  // of the last call; all are alike but for the experts that tokens share
};

// What the operations read, as the backend keeps it.
struct WeightBytes {
  double qkv = 0, attention_out = 0, expert = 0, table = 0;
};

// Hands everything on, and takes the time of the operations.
class TimedBackend final : public Backend {
 public:
  TimedBackend(Backend& inner, const GrokConfig& config) : inner_(inner), config_(config) {}

  std::map<std::string, Timed> times;
  WeightBytes weight_bytes;
  int positions = 0;  // that the last token of the step sees
  // A device does what it is asked when it comes to it: with this set, each operation is waited for by reading it. The
  // operation "wait" is what that alone takes.
  const float* something_to_read = nullptr;

  std::string description() const override { return inner_.description(); }
  BufferPtr allocate(std::size_t size_bytes) override { return inner_.allocate(size_bytes); }
  BufferPtr load_vector(const TensorView& f32) override { return inner_.load_vector(f32); }
  TablePtr load_table(const TensorView& f32) override { return inner_.load_table(f32); }
  MatrixPtr load_matrix(const QuantizedView& stored) override { return inner_.load_matrix(stored); }
  std::uint64_t matrix_bytes(const QuantizedView& stored) const override { return inner_.matrix_bytes(stored); }
  std::uint64_t table_bytes(const TensorView& f32) const override { return inner_.table_bytes(f32); }
  std::uint64_t head_bytes(const TensorView& f32) const override { return inner_.head_bytes(f32); }
  std::uint64_t kv_page_bytes(KvCacheType type, int num_kv_heads, int head_dim) const override {
    return inner_.kv_page_bytes(type, num_kv_heads, head_dim);
  }
  Batch stage(const Batch& host) override { return inner_.stage(host); }
  void read(std::span<float> host, const float* from) override { inner_.read(host, from); }
  void read(std::span<std::int32_t> host, const std::int32_t* from) override { inner_.read(host, from); }
  void read_kv(const ReadKv& op) override { inner_.read_kv(op); }

  void embed(const Embed& op) override {
    time("embed", {.bytes = floats(op.batch->num_tokens)}, [&] { inner_.embed(op); });
  }
  void norm(const Norm& op) override {
    time("norm", {.bytes = floats(op.num_tokens)}, [&] { inner_.norm(op); });
  }
  void qkv(const Qkv& op) override {
    const double width = double(op.num_q_heads + 2 * op.num_kv_heads) * op.head_dim;
    time("qkv", {.bytes = weight_bytes.qkv, .macs = op.batch->num_tokens * width * config_.d_model},
         [&] { inner_.qkv(op); });
  }
  void attention(const Attention& op) override {
    const int num_tokens = op.batch->num_tokens;
    const double pairs = num_tokens * (positions - (num_tokens - 1) / 2.0);  // each sees itself and those before
    time("attention",
         {.bytes = 2.0 * positions / kPageSize * double(kv_page_bytes(op.kv.type, op.num_kv_heads, op.head_dim)),
          .macs = 2.0 * pairs * op.num_q_heads * op.head_dim},
         [&] { inner_.attention(op); });
  }
  void attention_out(const AttentionOut& op) override {
    const double width = double(config_.num_q_heads) * config_.head_dim;
    time("attention_out", {.bytes = weight_bytes.attention_out, .macs = op.num_tokens * width * config_.d_model},
         [&] { inner_.attention_out(op); });
  }
  void add_norm(const AddNorm& op) override {
    time("add_norm", {.bytes = 2 * floats(op.num_tokens)}, [&] { inner_.add_norm(op); });
  }
  void route(const Route& op) override {
    const double size = double(op.d_model) * op.num_experts;
    time("route", {.bytes = size * sizeof(float), .macs = op.num_tokens * size}, [&] { inner_.route(op); });
  }
  void experts(const Experts& op) override {
    std::vector<std::int32_t> chosen(std::size_t(op.num_tokens) * op.experts_per_token);
    inner_.read(chosen, op.experts);
    const auto num_distinct = double(std::set(chosen.begin(), chosen.end()).size());
    time("experts",
         {.bytes = num_distinct * weight_bytes.expert,
          .macs = 3.0 * double(chosen.size()) * config_.d_model * config_.d_ff},
         [&] { inner_.experts(op); });
  }
  void logits(const Logits& op) override {
    time("logits",
         {.bytes = weight_bytes.table, .macs = double(op.batch->num_outputs) * config_.vocab_size * config_.d_model},
         [&] { inner_.logits(op); });
  }
  void wait() {
    if (something_to_read) time("wait", {}, [] {});
  }
  void sample(const Sample& op) override {
    time("sample", {.bytes = double(op.num_rows) * op.vocab_size * sizeof(float)}, [&] { inner_.sample(op); });
  }

 private:
  double floats(int num_tokens) const { return double(num_tokens) * config_.d_model * sizeof(float); }

  template <typename Call>
  void time(const char* name, const Work& work, const Call& call) {
    const auto start = std::chrono::steady_clock::now();
    call();
    if (something_to_read) {
      float value;
      inner_.read(std::span(&value, 1), something_to_read);
    }
    const std::chrono::duration<double, std::micro> elapsed = std::chrono::steady_clock::now() - start;
    Timed& timed = times[name];
    timed.microseconds.push_back(elapsed.count());
    timed.work = work;
  }

  Backend& inner_;
  const GrokConfig& config_;
};

WeightBytes weight_bytes_of(const TensorSource& source, const GrokConfig& config, const Backend& backend) {
  const auto bytes = [&](const std::string& name) {
    const StoredParameter* stored = source.find(name);
    if (!stored) throw Error(ErrorCode::internal, "no parameter " + name);
    return double(stored->scales ? backend.matrix_bytes({stored->weight, *stored->scales})
                                 : backend.head_bytes(stored->weight));
  };
  const std::string layer = "transformer/decoder_layer_0/", attention = layer + "multi_head_attention/";
  return {
      .qkv = bytes(attention + "query/w") + bytes(attention + "key/w") + bytes(attention + "value/w"),
      .attention_out = bytes(attention + "linear/w"),
      .expert = (bytes(layer + "moe/linear/w") + bytes(layer + "moe/linear_v/w") + bytes(layer + "moe/linear_1/w")) /
                config.num_experts,
      .table = bytes("language_model/in_out_embed/embeddings")};
}

// Steps of one sequence, each `num_tokens` long and at the same place.
class Passes {
 public:
  Passes(const GrokConfig& config, TimedBackend& backend, const Weights& weights, KvCacheType kv_cache_type,
         int max_tokens, int num_positions)
      : config_(config),
        backend_(backend),
        weights_(weights),
        workspace_(backend, config, max_tokens, 1),
        cache_(backend, config, kv_cache_type, pages_for(num_positions)),
        pages_(std::size_t(pages_for(num_positions))) {
    std::iota(pages_.begin(), pages_.end(), 0);
  }

  void run(int first_position, int num_tokens) {
    std::vector<std::int32_t> tokens(num_tokens), positions(num_tokens), sequences(num_tokens, 0);
    std::iota(positions.begin(), positions.end(), first_position);
    for (int i = 0; i < num_tokens; ++i)
      tokens[i] = int((std::int64_t(first_position) + i) * 7919 % config_.vocab_size);
    const std::int32_t last = num_tokens - 1;
    const Batch batch{.tokens = tokens.data(),
                      .positions = positions.data(),
                      .sequences = sequences.data(),
                      .page_tables = pages_.data(),
                      .output_rows = &last,
                      .num_tokens = num_tokens,
                      .num_sequences = 1,
                      .max_pages = int(pages_.size()),
                      .num_outputs = 1};
    backend_.positions = first_position + num_tokens;
    forward(config_, weights_, backend_.stage(batch), cache_.layers(), workspace_, backend_);
    SampledToken token;
    const SampleRow row{.temperature = 0.7f, .top_p = 0.9f, .uniform = 0.5f};
    backend_.sample({.out = &token,
                     .logits = workspace_.logits->as<float>(),
                     .rows = &row,
                     .num_rows = 1,
                     .vocab_size = config_.vocab_size});
  }

 private:
  const GrokConfig& config_;
  TimedBackend& backend_;
  const Weights& weights_;
  Workspace workspace_;
  KvCache cache_;
  std::vector<std::int32_t> pages_;
};

void print(const std::map<std::string, Timed>& times) {
  std::printf("  %-14s %6s %11s %11s %11s %9s %9s\n", "operation", "calls", "us min", "median", "max", "GB/s",
              "GMAC/s");
  for (const auto& [name, timed] : times) {
    std::vector<double> sorted = timed.microseconds;
    std::sort(sorted.begin(), sorted.end());
    const double median = sorted[sorted.size() / 2];
    std::printf("  %-14s %6zu %11.1f %11.1f %11.1f %9.2f %9.2f\n", name.c_str(), sorted.size(), sorted.front(), median,
                sorted.back(), timed.work.bytes / median * 1e-3, timed.work.macs / median * 1e-3);
  }
}

std::unique_ptr<Backend> make_backend(const Request& request) {
  if (request.device == "cpu") return make_cpu_backend({.num_threads = request.num_threads, .isa = request.isa});
#if defined(GROK_WITH_CUDA)
  if (request.device == "cuda") return make_cuda_backend({});
#endif
  throw Error(ErrorCode::invalid_argument, concat("this build has no device \"", request.device, "\""));
}

void measure(const std::string& shape, const Request& request) {
  const GrokConfig config = synthetic_shape(shape, request.num_layers);
  check_ranges(config, shape);
  const auto inner = make_backend(request);
  TimedBackend backend(*inner, config);
  const BufferPtr something = inner->allocate(sizeof(float));
  if (request.device != "cpu") backend.something_to_read = something->as<float>();
  const auto source = make_synthetic_source(config, 1);
  backend.weight_bytes = weight_bytes_of(*source, config, *inner);
  Weights weights;
  for (const BoundWeight& weight : bind_weights(config, *source, backend, weights)) weight.load();

  const int most_tokens = *std::max_element(request.num_tokens.begin(), request.num_tokens.end());
  const int num_positions = request.context + most_tokens;
  if (num_positions > config.context_length)
    throw Error(ErrorCode::context_overflow, concat(shape, ": context and tokens come to ", num_positions, ", and the ",
                                                    "model's context is ", config.context_length));
  constexpr int kChunk = 256;
  Passes passes(config, backend, weights, request.kv_cache_type, std::max(most_tokens, kChunk), num_positions);
  for (int position = 0; position < request.context; position += kChunk)
    passes.run(position, std::min(kChunk, request.context - position));

  for (const int num_tokens : request.num_tokens) {
    passes.run(request.context, num_tokens);  // to warm up
    backend.times.clear();
    for (int rep = 0; rep < request.reps; ++rep) {
      passes.run(request.context, num_tokens);
      backend.wait();
    }
    std::printf("%s, %s, %d layers, %d tokens after %d, cache %s\n", shape.c_str(), backend.description().c_str(),
                config.num_layers, num_tokens, request.context, name_of(request.kv_cache_type));
    print(backend.times);
    std::fflush(stdout);
  }
}

// ---------------------------------------------------------------- the command line

std::vector<std::string> parts_of(std::string_view list) {
  std::vector<std::string> parts;
  for (std::size_t comma; (comma = list.find(',')) != std::string_view::npos; list.remove_prefix(comma + 1))
    parts.emplace_back(list.substr(0, comma));
  parts.emplace_back(list);
  return parts;
}

int whole_number(std::string_view option, std::string_view text, int least = 1) {
  constexpr int kMost = 1 << 20;
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > kMost)
    throw Error(ErrorCode::invalid_argument,
                concat(option, ": expected a number from ", least, " to ", kMost, ", found \"", text, "\""));
  return value;
}

KvCacheType kv_cache_type(std::string_view name) {
  for (const KvCacheType type : {KvCacheType::f32, KvCacheType::bf16, KvCacheType::int8})
    if (name == name_of(type)) return type;
  throw Error(ErrorCode::invalid_argument, concat("--kv-cache-type: expected f32, bf16 or int8, found \"", name, "\""));
}

Request parse(int argc, char** argv) {
  Request request;
  for (int index = 1; index < argc; index += 2) {
    const std::string_view option = argv[index];
    if (index + 1 == argc) throw Error(ErrorCode::invalid_argument, concat(option, ": expected a value, found none"));
    const std::string_view value = argv[index + 1];
    if (option == "--device") {
      request.device = value;
    } else if (option == "--shape") {
      request.shapes = parts_of(value);
    } else if (option == "--layers") {
      request.num_layers = whole_number(option, value);
    } else if (option == "--threads") {
      request.num_threads = whole_number(option, value);
    } else if (option == "--isa") {
      request.isa = value;
    } else if (option == "--tokens") {
      request.num_tokens.clear();
      for (const std::string& part : parts_of(value)) request.num_tokens.push_back(whole_number(option, part));
    } else if (option == "--context") {
      request.context = whole_number(option, value, 0);
    } else if (option == "--kv-cache-type") {
      request.kv_cache_type = kv_cache_type(value);
    } else if (option == "--reps") {
      request.reps = whole_number(option, value);
    } else {
      throw Error(ErrorCode::invalid_argument, concat("unknown option ", option,
                                                      ": expected --device, --shape, --layers, --threads, --isa, "
                                                      "--tokens, --context, --kv-cache-type or --reps"));
    }
  }
  return request;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Request request = parse(argc, argv);
    for (const std::string& shape : request.shapes) measure(shape, request);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_ops: %s\n", error.what());
    return 1;
  }
}
