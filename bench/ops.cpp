// The time of each operation of backend.h within real forward passes, on made-up weights.
//
//   bench_ops [--device cpu|cuda] [--shape NAME|FILE,...] [--layers N] [--shards N] [--threads N] [--isa NAME]
//             [--tokens N,...] [--sequences N,...] [--context N,...] [--kv-cache-type NAME] [--reps N]
//             [--overlap yes|no] [--probe GIB] [--json FILE]
//
// For each shape, number of sequences and number of tokens of each in a step: calls, microseconds a call (min / median /
// max), and at the median the bytes of weights or cache that it must read and the multiply-adds that it must make. Small
// shapes stay in the caches: their GB/s are not of memory. "step" is a whole step with nothing waited for within, and replayed
// where the backend does that; "step, as asked" is one that it does not replay. --shards N: what one of N devices that share
// the network has to do, but for what they tell each other. --overlap no: launches on CUDA wait for each other. --probe GIB:
// first, the bandwidth of the device's memory, over so large a buffer, and what a CPU's instructions multiply at most. --json
// adds a line to FILE for each table printed.
//
// On CUDA those microseconds are the host's: to launch, to run and to be told. In the product a step is one graph, so
// operations are timed "in graph", too (median), and rates are of that: a step of one operation, many times over and round
// the layers, is replayed by Backend::step, the recording left out and what a step of nothing takes subtracted. Products
// find the digits that a norm or attention left: they come behind it, and what those take by themselves is subtracted.
// "MB a round" is what the calls of all layers read until the first comes again; where that is not several times the L2, some
// of it is found there, and more --layers help.

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "backend/cpu/cpu.h"
#include "backend/cpu/probe.h"
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
  int num_shards = 1;
  int num_threads = 0;
  std::string isa = {};
  std::vector<int> num_tokens = {1, 8, 128};
  std::vector<int> num_sequences = {1};
  std::vector<int> contexts = {128};  // tokens of each sequence in the cache before the step
  KvCacheType kv_cache_type = KvCacheType::f32;
  int reps = 5;
  bool launches_overlap = true;
  int probe_gib = 0;  // none
  std::string json = {};
};

// What one call must do at least.
struct Work {
  double bytes = 0;  // of weights and cache
  double macs = 0;
};

// Within a step that is one graph. No calls: not measured.
struct InGraph {
  std::vector<double> microseconds;  // a call, of each replay
  int calls = 0;                     // in a replay
  double bytes_a_round = 0;          // of the calls of all layers
};

struct Timed {
  std::vector<double> microseconds;
  Work work;  // of all calls: tokens share more experts in one layer than in another
  InGraph in_graph;

  Work work_of_one() const {
    const auto calls = double(microseconds.size());
    return {.bytes = work.bytes / calls, .macs = work.macs / calls};
  }
};

// What the operations read, as the backend keeps it.
struct WeightBytes {
  double qkv = 0, attention_out = 0, expert = 0, table = 0;
};

// An operation of a step, to be asked for again.
struct Asked {
  std::string name;
  Work work;
  std::function<void()> again;
};

// Hands everything on, and takes the time of the operations or notes them.
class TimedBackend final : public Backend {
 public:
  enum class Mode { hand_on, time, note };

  TimedBackend(Backend& inner, const GrokConfig& config) : inner_(inner), config_(config) {}

  std::map<std::string, Timed> times;
  std::vector<Asked> asked;  // that were noted; good until the next stage()
  WeightBytes weight_bytes;
  Mode mode = Mode::time;
  bool may_replay = true;
  int positions = 0;  // that the last token of each sequence sees
  int num_sequences = 1;
  // A device does what it is asked when it comes to it: with this set, each operation is waited for by reading it. The
  // operation "wait" is what that alone takes.
  const float* something_to_read = nullptr;

  std::string description() const override { return inner_.description(); }
  BufferPtr allocate(std::size_t size_bytes) override { return inner_.allocate(size_bytes); }
  BufferPtr load_vector(const TensorView& f32) override { return inner_.load_vector(f32); }
  TablePtr load_table(const TensorView& f32) override { return inner_.load_table(f32); }
  MatrixPtr load_matrix(const QuantizedView& stored) override { return inner_.load_matrix(stored); }
  const Footprint& footprint() const override { return inner_.footprint(); }
  void reserve_scratch(const StepSize& largest) override { inner_.reserve_scratch(largest); }
  Batch stage(const Batch& host) override { return inner_.stage(host); }
  void read(std::span<float> host, const float* from) override { inner_.read(host, from); }
  void read(std::span<std::int32_t> host, const std::int32_t* from) override { inner_.read(host, from); }
  void read_kv(const ReadKv& op) override { inner_.read_kv(op); }

  // Operations that are looked at one by one are asked for one by one.
  void step(const std::function<void()>& ask) override {
    if (mode == Mode::hand_on && may_replay)
      inner_.step(ask);
    else
      ask();
  }

  void embed(const Embed& op) override {
    perform("embed", {.bytes = floats(op.batch->num_tokens)}, [=, this] { inner_.embed(op); });
  }
  void norm(const Norm& op) override {
    perform("norm", {.bytes = floats(op.num_tokens)}, [=, this] { inner_.norm(op); });
  }
  void qkv(const Qkv& op) override {
    const double width = double(op.num_q_heads + 2 * op.num_kv_heads) * op.head_dim;
    perform("qkv", {.bytes = weight_bytes.qkv, .macs = op.batch->num_tokens * width * config_.d_model},
            [=, this] { inner_.qkv(op); });
  }
  void attention(const Attention& op) override {
    const int num_tokens = op.batch->num_tokens;
    // Each sees itself and those before.
    const double pairs = num_tokens * (positions - (num_tokens / num_sequences - 1) / 2.0);
    perform("attention",
            {.bytes = 2.0 * num_sequences * positions / kPageSize *
                      double(footprint().kv_page_bytes(op.kv.type, op.num_kv_heads, op.head_dim)),
             .macs = 2.0 * pairs * op.num_q_heads * op.head_dim},
            [=, this] { inner_.attention(op); });
  }
  void attention_out(const AttentionOut& op) override {
    const double width = double(config_.num_q_heads) * config_.head_dim;
    perform("attention_out", {.bytes = weight_bytes.attention_out, .macs = op.num_tokens * width * config_.d_model},
            [=, this] { inner_.attention_out(op); });
  }
  void add_norm(const AddNorm& op) override {
    perform("add_norm", {.bytes = 2 * floats(op.num_tokens)}, [=, this] { inner_.add_norm(op); });
  }
  void route(const Route& op) override {
    const double size = double(op.d_model) * op.num_experts;
    perform("route", {.bytes = size * sizeof(float), .macs = op.num_tokens * size}, [=, this] { inner_.route(op); });
    if (mode != Mode::note) return;
    // The next layer's choice goes to the same place: this one's is kept elsewhere, for its experts.
    const std::size_t num_slots = std::size_t(op.num_tokens) * op.experts_per_token;
    chosen_.push_back(inner_.allocate(num_slots * sizeof(std::int32_t)));
    gates_.push_back(inner_.allocate(num_slots * sizeof(float)));
    Route kept = op;
    kept.experts = chosen_.back()->as<std::int32_t>();
    kept.gates = gates_.back()->as<float>();
    inner_.route(kept);
  }
  void experts(const Experts& given) override {
    if (mode == Mode::hand_on) return inner_.experts(given);  // what was chosen is not read within a whole step
    Experts op = given;
    if (mode == Mode::note) {
      op.experts = chosen_.back()->as<std::int32_t>();
      op.gates = gates_.back()->as<float>();
    }
    std::vector<std::int32_t> chosen(std::size_t(op.num_tokens) * op.experts_per_token);
    inner_.read(chosen, op.experts);
    const auto num_distinct = double(std::set(chosen.begin(), chosen.end()).size());
    perform("experts",
            {.bytes = num_distinct * weight_bytes.expert,
             .macs = 3.0 * double(chosen.size()) * config_.d_model * config_.d_ff},
            [=, this] { inner_.experts(op); });
  }
  void logits(const Logits& op) override {
    perform("logits",
            {.bytes = weight_bytes.table, .macs = double(op.batch->num_outputs) * config_.vocab_size * config_.d_model},
            [=, this] { inner_.logits(op); });
  }
  void wait() {
    if (something_to_read) time("wait", {}, [] {});
  }
  // A whole step: its work is that of the operations timed in the steps before.
  template <typename Step>
  void time_step(const char* what, int num_steps_before, const Step& step) {
    Work work;
    for (const auto& [name, timed] : times) {
      if (name.starts_with("step")) continue;
      work.bytes += timed.work.bytes / num_steps_before;
      work.macs += timed.work.macs / num_steps_before;
    }
    time(what, work, [&] {
      mode = Mode::hand_on;
      step();
      mode = Mode::time;
    });
  }
  // Not of a step: it waits.
  void sample(const Sample& op) override {
    time("sample", {.bytes = double(op.num_rows) * op.vocab_size * sizeof(float)}, [&] { inner_.sample(op); });
  }

  // What `step` asks for, to be asked for again.
  template <typename Step>
  void note(const Step& step) {
    asked.clear();
    chosen_.clear();
    gates_.clear();
    mode = Mode::note;
    step();
    mode = Mode::time;
  }
  // From here on steps may ask for something else.
  void forget_steps() { inner_.allocate(sizeof(float)); }
  // Microseconds of each replay of a step of these operations, so many times over. None where the backend does not replay
  // steps of the batch that was staged last.
  std::vector<double> time_replays(const std::vector<const Asked*>& operations, int num_rounds, int reps) {
    forget_steps();
    int num_asked = 0;
    const auto ask = [&] {
      ++num_asked;
      for (int round = 0; round < num_rounds; ++round)
        for (const Asked* operation : operations) operation->again();
    };
    std::vector<double> microseconds;
    const auto replay = [&] { microseconds.push_back(microseconds_of([&] { inner_.step(ask); })); };
    constexpr int kUntilRecorded = 2;
    for (int time = 0; time < kUntilRecorded; ++time) replay();
    if (num_asked == 0) throw Error(ErrorCode::internal, "the backend replayed a step that was not asked for");
    const int num_asked_to_record = num_asked;
    microseconds.clear();
    for (int rep = 0; rep < reps; ++rep) {
      replay();
      if (num_asked != num_asked_to_record) return {};
    }
    return microseconds;
  }

 private:
  double floats(int num_tokens) const { return double(num_tokens) * config_.d_model * sizeof(float); }

  // One of a step's.
  template <typename Call>
  void perform(const char* name, const Work& work, const Call& call) {
    if (mode == Mode::note) asked.push_back({.name = name, .work = work, .again = call});
    time(name, work, call);
  }

  template <typename Call>
  void time(const char* name, const Work& work, const Call& call) {
    if (mode != Mode::time) return call();
    const double microseconds = microseconds_of(call);
    Timed& timed = times[name];
    timed.microseconds.push_back(microseconds);
    timed.work.bytes += work.bytes;
    timed.work.macs += work.macs;
  }

  template <typename Call>
  double microseconds_of(const Call& call) {
    const auto start = std::chrono::steady_clock::now();
    call();
    if (something_to_read) {
      float value;
      inner_.read(std::span(&value, 1), something_to_read);
    }
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
  }

  Backend& inner_;
  const GrokConfig& config_;
  std::vector<BufferPtr> chosen_, gates_;  // [num_tokens, experts_per_token], of each layer that was noted
};

WeightBytes weight_bytes_of(const TensorSource& source, const GrokConfig& config, const Footprint& footprint) {
  const auto bytes = [&](const std::string& name) {
    const StoredParameter* stored = source.find(name);
    if (!stored) throw Error(ErrorCode::internal, "no parameter " + name);
    return double(stored->scales ? footprint.matrix_bytes({stored->weight, *stored->scales})
                                 : footprint.head_bytes(stored->weight));
  };
  const std::string layer = "transformer/decoder_layer_0/", attention = layer + "multi_head_attention/";
  return {
      .qkv = bytes(attention + "query/w") + bytes(attention + "key/w") + bytes(attention + "value/w"),
      .attention_out = bytes(attention + "linear/w"),
      .expert = (bytes(layer + "moe/linear/w") + bytes(layer + "moe/linear_v/w") + bytes(layer + "moe/linear_1/w")) /
                config.num_experts,
      .table = bytes("language_model/in_out_embed/embeddings")};
}

// Steps of `num_tokens` tokens of each of some sequences, all at the same place.
class Passes {
 public:
  Passes(const GrokConfig& config, TimedBackend& backend, const Weights& weights, KvCacheType kv_cache_type,
         int max_tokens, int max_sequences, int num_positions)
      : config_(config),
        backend_(backend),
        weights_(weights),
        workspace_(backend, config, max_tokens, max_sequences),
        cache_(backend, config, kv_cache_type, max_sequences * pages_for(num_positions)),
        pages_each_(pages_for(num_positions)),
        pages_(std::size_t(max_sequences) * pages_each_) {
    std::iota(pages_.begin(), pages_.end(), 0);
  }

  void run(int first_position, int num_tokens, int first_sequence, int num_sequences) {
    std::vector<std::int32_t> tokens, positions, sequences, last_rows;
    for (int sequence = 0; sequence < num_sequences; ++sequence) {
      for (int i = 0; i < num_tokens; ++i) {
        const std::int64_t place = std::int64_t(first_sequence + sequence) * 104729 + first_position + i;
        tokens.push_back(std::int32_t(place * 7919 % config_.vocab_size));
        positions.push_back(first_position + i);
        sequences.push_back(sequence);
      }
      last_rows.push_back(std::int32_t(tokens.size()) - 1);
    }
    const Batch batch{.tokens = tokens.data(),
                      .positions = positions.data(),
                      .sequences = sequences.data(),
                      .page_tables = pages_.data() + std::size_t(first_sequence) * pages_each_,
                      .output_rows = last_rows.data(),
                      .num_tokens = int(tokens.size()),
                      .num_sequences = num_sequences,
                      .max_pages = pages_each_,
                      .num_outputs = num_sequences};
    backend_.positions = first_position + num_tokens;
    backend_.num_sequences = num_sequences;
    staged_ = backend_.stage(batch);
    backend_.step([&] { forward(config_, weights_, staged_, cache_.layers(), workspace_, backend_); });
    std::vector<SampledToken> sampled(num_sequences);
    const std::vector<SampleRow> rows(num_sequences, {.temperature = 0.7f, .top_p = 0.9f, .uniform = 0.5f});
    backend_.sample({.out = sampled.data(),
                     .logits = workspace_.logits->as<float>(),
                     .rows = rows.data(),
                     .num_rows = num_sequences,
                     .vocab_size = config_.vocab_size});
  }

 private:
  const GrokConfig& config_;
  TimedBackend& backend_;
  const Weights& weights_;
  Workspace workspace_;
  KvCache cache_;
  int pages_each_;
  std::vector<std::int32_t> pages_;  // [max_sequences, pages_each_]
  Batch staged_;                     // what is asked for again looks here
};

double quantile(const std::vector<double>& sorted, double share) {
  return sorted[std::size_t(share * double(sorted.size() - 1) + 0.5)];
}

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return quantile(values, 0.5);
}

// Each kind of operation that was noted, of all layers in turn, many times in a step that is replayed. Repeating changes no
// work: residuals grow, what is made of them does not, and each layer's experts keep theirs.
void time_in_graph(TimedBackend& backend, int reps) {
  constexpr double kMicroseconds = 4000;  // of a replay, about: how much starting one takes varies by a few
  constexpr std::size_t kMostCalls = 256;

  const std::vector<double> of_nothing = backend.time_replays({}, 1, reps);
  if (of_nothing.empty()) return;

  struct Round {
    std::vector<const Asked*> operations, others;  // others: of those, what is not of this kind
    int calls = 0;
    double bytes = 0;
  };
  std::map<std::string, Round> rounds;
  const std::set<std::string> leave_digits = {"norm", "add_norm", "attention"};
  const std::set<std::string> take_digits = {"qkv", "attention_out", "experts", "logits"};
  const Asked* left_digits = nullptr;
  for (const Asked& asked : backend.asked) {
    Round& round = rounds[asked.name];
    if (take_digits.contains(asked.name)) {
      round.operations.push_back(left_digits);
      round.others.push_back(left_digits);
    }
    round.operations.push_back(&asked);
    ++round.calls;
    round.bytes += asked.work.bytes;
    if (leave_digits.contains(asked.name)) left_digits = &asked;
  }

  for (const auto& [name, round] : rounds) {
    double from_host = 0;
    for (const Asked* asked : round.operations) from_host += median_of(backend.times[asked->name].microseconds);
    const int num_rounds =
        std::max(1, std::min(int(kMicroseconds / from_host), int(kMostCalls / round.operations.size())));
    const std::vector<double> without =
        round.others.empty() ? of_nothing : backend.time_replays(round.others, num_rounds, reps);
    std::vector<double> microseconds = backend.time_replays(round.operations, num_rounds, reps);
    if (without.empty() || microseconds.empty()) continue;
    const int calls = num_rounds * round.calls;
    for (double& took : microseconds) took = (took - median_of(without)) / calls;
    backend.times[name].in_graph = {
        .microseconds = std::move(microseconds), .calls = calls, .bytes_a_round = round.bytes};
  }
}

void print(const std::map<std::string, Timed>& times) {
  const bool has_graphs =
      std::any_of(times.begin(), times.end(), [](const auto& timed) { return timed.second.in_graph.calls > 0; });
  std::printf("  %-14s %6s %11s %11s %11s%s %9s %9s%s\n", "operation", "calls", "us min", "median", "max",
              has_graphs ? "    in graph" : "", "GB/s", "GMAC/s", has_graphs ? "  MB a round" : "");
  for (const auto& [name, timed] : times) {
    std::vector<double> sorted = timed.microseconds;
    std::sort(sorted.begin(), sorted.end());
    double median = quantile(sorted, 0.5);
    const Work work = timed.work_of_one();
    std::printf("  %-14s %6zu %11.1f %11.1f %11.1f", name.c_str(), sorted.size(), sorted.front(), median,
                sorted.back());
    const bool is_in_graph = timed.in_graph.calls > 0;
    if (is_in_graph) {
      median = median_of(timed.in_graph.microseconds);
      std::printf(" %11.2f", median);
    } else if (has_graphs) {
      std::printf(" %11s", "-");
    }
    std::printf(" %9.2f %9.2f", work.bytes / median * 1e-3, work.macs / median * 1e-3);
    if (is_in_graph) std::printf(" %11.1f", timed.in_graph.bytes_a_round * 1e-6);
    std::printf("\n");
  }
}

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

// What is written there is read by device/report.py.
File open_json(const Request& request) {
  File out(std::fopen(request.json.c_str(), "a"), std::fclose);
  if (!out) throw Error(ErrorCode::io, concat("--json: cannot write to ", request.json));
  return out;
}

void write_times(std::FILE* out, std::vector<double> times) {
  std::sort(times.begin(), times.end());
  std::fprintf(out, R"("p10": %.2f, "median": %.2f, "p90": %.2f, "mean": %.2f)", quantile(times, 0.1),
               quantile(times, 0.5), quantile(times, 0.9),
               std::reduce(times.begin(), times.end()) / double(times.size()));
}

// One line.
void write_json(const Request& request, const std::string& shape, int num_layers, int num_sequences, int num_tokens,
                int context, const std::map<std::string, Timed>& times) {
  const File out = open_json(request);
  std::fprintf(out.get(),
               R"({"shape": "%s", "layers": %d, "shards": %d, "sequences": %d, "tokens": %d, "context": %d, )"
               R"("cache": "%s", "overlap": %s, "operations": {)",
               shape.c_str(), num_layers, request.num_shards, num_sequences, num_tokens, context,
               name_of(request.kv_cache_type), request.launches_overlap ? "true" : "false");
  const char* separator = "";
  for (const auto& [name, timed] : times) {
    const Work work = timed.work_of_one();
    std::fprintf(out.get(), R"(%s"%s": {"calls": %zu, )", separator, name.c_str(), timed.microseconds.size());
    write_times(out.get(), timed.microseconds);
    std::fprintf(out.get(), R"(, "bytes": %.0f, "macs": %.0f)", work.bytes, work.macs);
    if (timed.in_graph.calls > 0) {
      std::fprintf(out.get(), R"(, "in_graph": {"calls": %d, )", timed.in_graph.calls);
      write_times(out.get(), timed.in_graph.microseconds);
      std::fprintf(out.get(), R"(, "bytes_a_round": %.0f})", timed.in_graph.bytes_a_round);
    }
    std::fprintf(out.get(), "}");
    separator = ", ";
  }
  std::fprintf(out.get(), "}}\n");
}

std::unique_ptr<Backend> make_backend(const Request& request) {
  if (request.device == "cpu") return make_cpu_backend({.num_threads = request.num_threads, .isa = request.isa});
#if defined(GROK_WITH_CUDA)
  if (request.device == "cuda") return make_cuda_backend({.launches_overlap = request.launches_overlap});
#endif
  throw Error(ErrorCode::invalid_argument, concat("this build has no device \"", request.device, "\""));
}

void measure_limits(const Request& request) {
#if defined(GROK_WITH_CUDA)
  if (request.device == "cuda") {
    const CudaProbe probe = probe_cuda({.buffer_bytes = std::uint64_t(request.probe_gib) << 30});
    std::printf("%s: %.0f GB/s of reading, %.0f GB/s of copying\n", probe.device.c_str(), probe.read.median,
                probe.copy.median);
    if (!request.json.empty())
      std::fprintf(open_json(request).get(), "{\"limits\": {\"read\": %.1f, \"copy\": %.1f}}\n", probe.read.median,
                   probe.copy.median);
    return;
  }
#endif
  const Probe probe = probe_cpu(
      {.num_threads = request.num_threads, .isa = request.isa, .buffer_bytes = std::uint64_t(request.probe_gib) << 30});
  std::string json = concat("{\"limits\": {\"read\": ", probe.read.median);
  std::printf("%s, %d threads: %.1f GB/s of reading", probe.isa.c_str(), probe.num_threads, probe.read.median);
  for (const MultiplyAddRate& kind : probe.multiply_adds) {
    std::printf(", %.0f GMAC/s of %s", kind.rate.median, kind.name.c_str());
    json += concat(", \"", kind.name, "\": ", kind.rate.median);
  }
  std::printf("\n");
  if (!request.json.empty()) std::fprintf(open_json(request).get(), "%s}}\n", json.c_str());
}

void measure_after(int context, const std::string& shape, const GrokConfig& config, const Request& request,
                   TimedBackend& backend, const Weights& weights) {
  const int most_tokens = *std::max_element(request.num_tokens.begin(), request.num_tokens.end());
  const int num_positions = context + most_tokens;
  if (num_positions > config.context_length)
    throw Error(ErrorCode::context_overflow, concat(shape, ": context and tokens come to ", num_positions, ", and the ",
                                                    "model's context is ", config.context_length));
  const int most_sequences = *std::max_element(request.num_sequences.begin(), request.num_sequences.end());
  constexpr int kChunk = 256;
  Passes passes(config, backend, weights, request.kv_cache_type, std::max(most_sequences * most_tokens, kChunk),
                most_sequences, num_positions);
  backend.mode = TimedBackend::Mode::hand_on;
  for (int sequence = 0; sequence < most_sequences; ++sequence)
    for (int position = 0; position < context; position += kChunk)
      passes.run(position, std::min(kChunk, context - position), sequence, 1);
  backend.mode = TimedBackend::Mode::time;

  for (const int num_sequences : request.num_sequences) {
    for (const int num_tokens : request.num_tokens) {
      const auto step = [&] { passes.run(context, num_tokens, 0, num_sequences); };
      step();  // to warm up
      backend.times.clear();
      for (int rep = 0; rep < request.reps; ++rep) {
        step();
        backend.wait();
      }
      const auto time_steps = [&](const char* what, bool may_replay) {
        backend.may_replay = may_replay;
        backend.mode = TimedBackend::Mode::hand_on;
        for (int time = 0; time < 2; ++time) step();  // a replay is recorded by then
        backend.mode = TimedBackend::Mode::time;
        for (int rep = 0; rep < request.reps; ++rep) backend.time_step(what, request.reps, step);
      };
      if (request.device == "cuda") time_steps("step, as asked", false);
      time_steps("step", true);
      if (request.device == "cuda") {
        backend.note(step);
        time_in_graph(backend, request.reps);
        backend.forget_steps();
      }
      const std::string share = request.num_shards == 1 ? "" : concat(", one of ", request.num_shards, " shards");
      std::printf("%s%s, %s, %d layers, %d sequences, %d tokens of each after %d, cache %s\n", shape.c_str(),
                  share.c_str(), backend.description().c_str(), config.num_layers, num_sequences, num_tokens, context,
                  name_of(request.kv_cache_type));
      print(backend.times);
      std::fflush(stdout);
      if (!request.json.empty())
        write_json(request, shape, config.num_layers, num_sequences, num_tokens, context, backend.times);
    }
  }
}

void measure(const std::string& shape, const Request& request) {
  const GrokConfig config = shard_of(synthetic_shape(shape, request.num_layers), request.num_shards);
  check_ranges(config, shape);
  const auto inner = make_backend(request);
  TimedBackend backend(*inner, config);
  const BufferPtr something = inner->allocate(sizeof(float));
  if (request.device != "cpu") backend.something_to_read = something->as<float>();
  const auto source = make_synthetic_source(config, 1, std::max(kScaleGroups / request.num_shards, 1));
  backend.weight_bytes = weight_bytes_of(*source, config, inner->footprint());
  Weights weights;
  for (const BoundWeight& weight : bind_weights(config, *source, backend.footprint(), weights)) weight.load(backend);

  for (const int context : request.contexts) measure_after(context, shape, config, request, backend, weights);
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
    } else if (option == "--shards") {
      request.num_shards = whole_number(option, value);
    } else if (option == "--threads") {
      request.num_threads = whole_number(option, value);
    } else if (option == "--isa") {
      request.isa = value;
    } else if (option == "--tokens") {
      request.num_tokens.clear();
      for (const std::string& part : parts_of(value)) request.num_tokens.push_back(whole_number(option, part));
    } else if (option == "--sequences") {
      request.num_sequences.clear();
      for (const std::string& part : parts_of(value)) request.num_sequences.push_back(whole_number(option, part));
    } else if (option == "--context") {
      request.contexts.clear();
      for (const std::string& part : parts_of(value)) request.contexts.push_back(whole_number(option, part, 0));
    } else if (option == "--kv-cache-type") {
      request.kv_cache_type = kv_cache_type(value);
    } else if (option == "--reps") {
      request.reps = whole_number(option, value);
    } else if (option == "--overlap") {
      if (value != "yes" && value != "no")
        throw Error(ErrorCode::invalid_argument, concat("--overlap: expected yes or no, found \"", value, "\""));
      request.launches_overlap = value == "yes";
    } else if (option == "--probe") {
      request.probe_gib = whole_number(option, value);
    } else if (option == "--json") {
      request.json = value;
    } else {
      throw Error(ErrorCode::invalid_argument,
                  concat("unknown option ", option,
                         ": expected --device, --shape, --layers, --shards, --threads, --isa, "
                         "--tokens, --sequences, --context, --kv-cache-type, --reps, --overlap, --probe or --json"));
    }
  }
  return request;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Request request = parse(argc, argv);
    if (request.probe_gib > 0) measure_limits(request);
    for (const std::string& shape : request.shapes) measure(shape, request);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_ops: %s\n", error.what());
    return 1;
  }
}
