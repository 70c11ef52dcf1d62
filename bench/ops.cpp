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
// operation over all layers many times; the capture is not timed, and the time of an empty step is subtracted. "MB a
// round" is the data that the calls of all layers read until the first comes again. If that is not several times the
// L2, some of it is found there, and more --layers help.

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "backend/cpu/cpu.h"
#include "backend/cpu/probe/probe.h"
#if defined(GROK_WITH_CUDA)
#include "backend/cuda/cuda.h"
#endif
#include "core/error.h"
#include "model/check_config.h"
#include "model/forward.h"
#include "model/haiku_naming.h"
#include "model/weights.h"
#include "report.h"
#include "request.h"
#include "runtime/kv_cache.h"
#include "runtime/page_pool.h"
#include "runtime/synthetic.h"
#include "timed_backend.h"

namespace {

using namespace grok;
using namespace grok::bench;

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

// Times each kind of recorded operation, for all layers in turn, many times in a replayed step. Repetition does not
// change the work: residuals grow, but their norms do not, and each layer keeps its experts.
void time_in_graph(TimedBackend& backend, int reps) {
  // approximate time of a replay; the start of a replay varies by a few microseconds
  constexpr double kMicroseconds = 4000;
  constexpr std::size_t kMostCalls = 256;

  const std::vector<double> empty_step = backend.time_replays({}, 1, reps);
  if (empty_step.empty()) return;

  struct Round {
    std::vector<const RecordedOperation*> operations;
    double bytes = 0;
  };
  std::map<std::string, Round> rounds;
  for (const RecordedOperation& operation : backend.recorded) {
    Round& round = rounds[operation.name];
    round.operations.push_back(&operation);
    round.bytes += operation.work.bytes;
  }

  for (const auto& [name, round] : rounds) {
    double from_host = 0;
    for (const RecordedOperation* operation : round.operations)
      from_host += median_of(backend.times[operation->name].microseconds);
    const int num_rounds =
        std::max(1, std::min(int(kMicroseconds / from_host), int(kMostCalls / round.operations.size())));
    std::vector<double> microseconds = backend.time_replays(round.operations, num_rounds, reps);
    if (microseconds.empty()) continue;
    const int calls = num_rounds * int(round.operations.size());
    for (double& took : microseconds) took = (took - median_of(empty_step)) / calls;
    backend.times[name].in_graph = {
        .microseconds = std::move(microseconds), .calls = calls, .bytes_a_round = round.bytes};
  }
}

std::unique_ptr<Backend> make_backend(const Request& request) {
  if (request.device == "cpu") return cpu::make_backend({.num_threads = request.num_threads, .isa = request.isa});
#if defined(GROK_WITH_CUDA)
  if (request.device == "cuda") return cuda::make_backend({.launches_overlap = request.launches_overlap});
#endif
  throw Error(ErrorCode::invalid_argument, concat("this build has no device \"", request.device, "\""));
}

void measure_limits(const Request& request) {
#if defined(GROK_WITH_CUDA)
  if (request.device == "cuda") {
    const cuda::Probe probe = cuda::run_probe({.buffer_bytes = std::uint64_t(request.probe_gib) << 30});
    std::printf("%s: %.0f GB/s of reading, %.0f GB/s of copying\n", probe.device.c_str(), probe.read.median,
                probe.copy.median);
    if (!request.json.empty())
      std::fprintf(open_json(request).get(), "{\"limits\": {\"read\": %.1f, \"copy\": %.1f}}\n", probe.read.median,
                   probe.copy.median);
    return;
  }
#endif
  const cpu::Probe probe = cpu::run_probe(
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
  backend.mode = TimedBackend::Mode::pass_through;
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
        backend.mode = TimedBackend::Mode::pass_through;
        for (int time = 0; time < 2; ++time) step();  // captures the replay
        backend.mode = TimedBackend::Mode::time;
        for (int rep = 0; rep < request.reps; ++rep) backend.time_step(what, request.reps, step);
      };
      if (request.device == "cuda") time_steps("step, not replayed", false);
      time_steps("step", true);
      if (request.device == "cuda") {
        backend.record(step);
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
  const BufferPtr buffer = inner->allocate(sizeof(float));
  if (request.device != "cpu") backend.something_to_read = buffer->as<float>();
  const auto source =
      runtime::make_synthetic_source(config, 1, std::max(runtime::kScaleGroups / request.num_shards, 1));
  backend.weight_bytes = weight_bytes_of(*source, config, inner->footprint());
  model::Weights weights(config.num_layers);
  const model::BoundNetwork network = model::bind_weights(config, *source, model::haiku_naming());
  for (const model::BoundWeight& weight : network.weights) weight.load(backend, weights);

  for (const int context : request.contexts)
    measure_after(context, shape, config, request, backend, weights, network.layers);
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
