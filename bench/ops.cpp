// Times each operation of backend.h within real forward passes, on synthetic weights.
//
// bench_ops [--device cpu|cuda] [--shape NAME|FILE,...] [--layers N] [--shards N] [--threads N] [--isa NAME]
//            [--tokens N,...] [--sequences N,...] [--context N,...] [--kv-cache-type NAME] [--reps N]
//            [--overlap yes|no] [--probe GIB] [--json FILE]
//
// Prints a table for each shape, number of sequences and number of tokens per sequence. It has calls, microseconds per
// call (min / median / max), and rates at the median: bytes of weights or cache that a call must read, and
// multiply-adds. Small shapes stay in the caches, so their GB/s do not measure memory. "step" is a whole step without
// waits, replayed if the backend replays steps; "step, not replayed" runs it without a graph. --shards N: the work of
// one of N devices that share the network, without their communication. --overlap no: launches on CUDA wait for each
// other. --probe GIB: first measures the memory bandwidth of the device over a buffer of that size, and the
// multiply-adds of a CPU. --json appends a line to FILE for each table.
//
// On CUDA those microseconds are the host's: launch, execution and notification. In the product a step is one graph, so
// operations are also timed "in graph" (median), and rates refer to that. Backend::step replays a step that repeats one
// operation over all layers many times; the capture is not timed, and the time of an empty step is subtracted. Products
// consume the quantized copy of a norm or attention, so these run first, and their own time is subtracted. "MB a round"
// is the data that the calls of all layers read until the first comes again. If that is not several times the L2, some
// of it is found there, and more --layers help.

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "backend/cpu/cpu.h"
#include "backend/cpu/probe/probe.h"
#if defined(GROK_WITH_CUDA)
#include "backend/cuda/cuda.h"
#endif
#include "core/error.h"
#include "model/check_config.h"
#include "model/forward.h"
#include "model/weights.h"
#include "runtime/kv_cache.h"
#include "runtime/page_pool.h"
#include "runtime/synthetic.h"
#include "timed_backend.h"

namespace {

using namespace grok;
using namespace grok::bench;

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
  int probe_gib = 0;  // 0: no probe
  std::string json = {};
};

WeightBytes weight_bytes_of(const format::TensorSource& source, const model::GrokConfig& config,
                            const Footprint& footprint) {
  using model::Param;
  const auto bytes = [&](model::ParamId id) {
    const std::string name = model::haiku_naming().name_of(id);
    const format::StoredParameter* stored = source.find(name);
    if (!stored) throw Error(ErrorCode::internal, "no parameter " + name);
    return double(stored->scales ? footprint.matrix_bytes({stored->weight, *stored->scales})
                                 : footprint.head_bytes(stored->weight));
  };
  return {
      .qkv = bytes({Param::w_q, 0}) + bytes({Param::w_k, 0}) + bytes({Param::w_v, 0}),
      .attention_out = bytes({Param::w_o, 0}),
      .expert = (bytes({Param::w_gate, 0}) + bytes({Param::w_up, 0}) + bytes({Param::w_down, 0})) / config.num_experts,
      .table = bytes({Param::embedding})};
}

// Steps of `num_tokens` tokens for each of some sequences, all at the same position.
class Passes {
 public:
  Passes(const model::GrokConfig& config, TimedBackend& backend, const model::Weights& weights,
         std::span<const LayerViews> layers, KvCacheType kv_cache_type, int max_tokens, int max_sequences,
         int num_positions)
      : config_(config),
        backend_(backend),
        weights_(weights),
        workspace_(backend, config, {.num_tokens = max_tokens, .num_outputs = max_sequences, .layers = layers}),
        cache_(backend, config, kv_cache_type, max_sequences * runtime::pages_for(num_positions)),
        pages_each_(runtime::pages_for(num_positions)),
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
    backend_.step([&] { model::forward(config_, weights_, staged_, cache_.layers(), workspace_, backend_); });
    std::vector<SampledToken> sampled(num_sequences);
    const std::vector<SampleRow> rows(num_sequences, {.params = {.temperature = 0.7f, .top_p = 0.9f}, .uniform = 0.5f});
    backend_.sample({.out = sampled.data(),
                     .logits = workspace_.logits->as<float>(),
                     .rows = rows.data(),
                     .num_rows = num_sequences,
                     .vocab_size = config_.vocab_size});
  }

 private:
  const model::GrokConfig& config_;
  TimedBackend& backend_;
  const model::Weights& weights_;
  model::Workspace workspace_;
  runtime::KvCache cache_;
  int pages_each_;
  std::vector<std::int32_t> pages_;  // [max_sequences, pages_each_]
  Batch staged_;                     // replayed operations read this
};

double quantile(const std::vector<double>& sorted, double share) {
  return sorted[std::size_t(share * double(sorted.size() - 1) + 0.5)];
}

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return quantile(values, 0.5);
}

// Times each kind of recorded operation, for all layers in turn, many times in a replayed step. Repetition does not
// change the work: residuals grow, but their norms do not, and each layer keeps its experts.
void time_in_graph(TimedBackend& backend, int reps) {
  // approximate time of a replay; the start of a replay varies by a few microseconds
  constexpr double kMicroseconds = 4000;
  constexpr std::size_t kMostCalls = 256;

  const std::vector<double> of_nothing = backend.time_replays({}, 1, reps);
  if (of_nothing.empty()) return;

  struct Round {
    std::vector<const Asked*> operations, others;  // others: recorded operations of other kinds
    int calls = 0;
    double bytes = 0;
  };
  std::map<std::string, Round> rounds;
  const std::set<std::string> writes_copy = {"norm", "add_norm", "attention"};
  const std::set<std::string> reads_copy = {"qkv", "attention_out", "experts", "logits"};
  const Asked* last_writer = nullptr;
  for (const Asked& asked : backend.asked) {
    Round& round = rounds[asked.name];
    if (reads_copy.contains(asked.name)) {
      round.operations.push_back(last_writer);
      round.others.push_back(last_writer);
    }
    round.operations.push_back(&asked);
    ++round.calls;
    round.bytes += asked.work.bytes;
    if (writes_copy.contains(asked.name)) last_writer = &asked;
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

// device/report.py reads this file.
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

// Writes one line.
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
  if (request.device == "cpu") return cpu::make_cpu_backend({.num_threads = request.num_threads, .isa = request.isa});
#if defined(GROK_WITH_CUDA)
  if (request.device == "cuda") return cuda::make_cuda_backend({.launches_overlap = request.launches_overlap});
#endif
  throw Error(ErrorCode::invalid_argument, concat("this build has no device \"", request.device, "\""));
}

void measure_limits(const Request& request) {
#if defined(GROK_WITH_CUDA)
  if (request.device == "cuda") {
    const cuda::CudaProbe probe = cuda::probe_cuda({.buffer_bytes = std::uint64_t(request.probe_gib) << 30});
    std::printf("%s: %.0f GB/s of reading, %.0f GB/s of copying\n", probe.device.c_str(), probe.read.median,
                probe.copy.median);
    if (!request.json.empty())
      std::fprintf(open_json(request).get(), "{\"limits\": {\"read\": %.1f, \"copy\": %.1f}}\n", probe.read.median,
                   probe.copy.median);
    return;
  }
#endif
  const cpu::Probe probe = cpu::probe_cpu(
      {.num_threads = request.num_threads, .isa = request.isa, .buffer_bytes = std::uint64_t(request.probe_gib) << 30});
  std::string json = concat("{\"limits\": {\"read\": ", probe.read.median);
  std::printf("%s, %d threads: %.1f GB/s of reading", probe.isa.c_str(), probe.num_threads, probe.read.median);
  for (const cpu::MultiplyAddRate& kind : probe.multiply_adds) {
    std::printf(", %.0f GMAC/s of %s", kind.rate.median, kind.name.c_str());
    json += concat(", \"", kind.name, "\": ", kind.rate.median);
  }
  std::printf("\n");
  if (!request.json.empty()) std::fprintf(open_json(request).get(), "%s}}\n", json.c_str());
}

void measure_after(int context, const std::string& shape, const model::GrokConfig& config, const Request& request,
                   TimedBackend& backend, const model::Weights& weights, std::span<const LayerViews> layers) {
  const int most_tokens = *std::max_element(request.num_tokens.begin(), request.num_tokens.end());
  const int num_positions = context + most_tokens;
  if (num_positions > config.context_length)
    throw Error(ErrorCode::context_overflow, concat(shape, ": context and tokens come to ", num_positions, ", and the ",
                                                    "model's context is ", config.context_length));
  const int most_sequences = *std::max_element(request.num_sequences.begin(), request.num_sequences.end());
  constexpr int kChunk = 256;
  Passes passes(config, backend, weights, layers, request.kv_cache_type, std::max(most_sequences * most_tokens, kChunk),
                most_sequences, num_positions);
  backend.mode = TimedBackend::Mode::hand_on;
  for (int sequence = 0; sequence < most_sequences; ++sequence)
    for (int position = 0; position < context; position += kChunk)
      passes.run(position, std::min(kChunk, context - position), sequence, 1);
  backend.mode = TimedBackend::Mode::time;

  for (const int num_sequences : request.num_sequences) {
    for (const int num_tokens : request.num_tokens) {
      const auto step = [&] { passes.run(context, num_tokens, 0, num_sequences); };
      step();  // warm-up
      backend.times.clear();
      for (int rep = 0; rep < request.reps; ++rep) {
        step();
        backend.wait();
      }
      const auto time_steps = [&](const char* what, bool may_replay) {
        backend.may_replay = may_replay;
        backend.mode = TimedBackend::Mode::hand_on;
        for (int time = 0; time < 2; ++time) step();  // captures the replay
        backend.mode = TimedBackend::Mode::time;
        for (int rep = 0; rep < request.reps; ++rep) backend.time_step(what, request.reps, step);
      };
      if (request.device == "cuda") time_steps("step, not replayed", false);
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
  const model::GrokConfig config =
      runtime::shard_of(runtime::synthetic_shape(shape, request.num_layers), request.num_shards);
  model::check_ranges(config, shape);
  const auto inner = make_backend(request);
  TimedBackend backend(*inner, config);
  const BufferPtr something = inner->allocate(sizeof(float));
  if (request.device != "cpu") backend.something_to_read = something->as<float>();
  const auto source =
      runtime::make_synthetic_source(config, 1, std::max(runtime::kScaleGroups / request.num_shards, 1));
  backend.weight_bytes = weight_bytes_of(*source, config, inner->footprint());
  model::Weights weights(config.num_layers);
  const model::BoundNetwork network = model::bind_weights(config, *source);
  for (const model::BoundWeight& weight : network.weights) weight.load(backend, weights);

  for (const int context : request.contexts)
    measure_after(context, shape, config, request, backend, weights, network.layers);
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
