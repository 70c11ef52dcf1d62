#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/error.h"
#include "model/config.h"

// A backend that times its operations, and repeats recorded ones.
namespace grok::bench {

// Minimum work of one call.
struct Work {
  double bytes = 0;  // of weights and cache
  double macs = 0;
};

// Times within a step that is one graph. No calls: not measured.
struct InGraph {
  std::vector<double> microseconds;  // per call, for each replay
  int calls = 0;                     // in a replay
  double bytes_a_round = 0;          // of the calls of all layers
};

struct Timed {
  std::vector<double> microseconds;
  Work work;  // total of all calls: tokens share more experts in one layer than in another
  InGraph in_graph;

  Work work_of_one() const {
    const auto calls = double(microseconds.size());
    return {.bytes = work.bytes / calls, .macs = work.macs / calls};
  }
};

// Bytes that the operations read, in the backend's layout.
struct WeightBytes {
  double qkv = 0, attention_out = 0, expert = 0, table = 0;
};

// A recorded operation of a step.
struct RecordedOperation {
  std::string name;
  Work work;
  std::function<void()> again;
};

// Passes every operation on, and times or records it.
class TimedBackend final : public Backend {
 public:
  enum class Mode { pass_through, time, record };

  TimedBackend(Backend& inner, const model::GrokConfig& config) : inner_(inner), config_(config) {}

  std::map<std::string, Timed> times;
  std::vector<RecordedOperation> recorded;  // recorded operations; valid until the next stage()
  WeightBytes weight_bytes;
  Mode mode = Mode::time;
  bool may_replay = true;
  int positions = 0;  // number of positions up to the last token of each sequence
  int num_sequences = 1;
  // A device executes operations later. If this is set, each operation is awaited by reading from it. The operation
  // "wait" is the time of that read alone.
  const float* something_to_read = nullptr;

  std::string description() const override { return inner_.description(); }
  BufferPtr allocate(std::size_t size_bytes) override { return inner_.allocate(size_bytes); }
  QuantizedRowsPtr allocate_quantized(const QuantizedShape& shape) override { return inner_.allocate_quantized(shape); }
  BufferPtr load_vector(const TensorView& f32) override { return inner_.load_vector(f32); }
  TablePtr load_table(const TensorView& f32) override { return inner_.load_table(f32); }
  MatrixPtr load_matrix(const Linear& stored) override { return inner_.load_matrix(stored); }
  const Footprint& footprint() const override { return inner_.footprint(); }
  void reserve_scratch(const StepSize& largest) override { inner_.reserve_scratch(largest); }
  Batch stage(const Batch& host) override { return inner_.stage(host); }
  void read(std::span<float> host, const float* from) override { inner_.read(host, from); }
  void read(std::span<std::int32_t> host, const std::int32_t* from) override { inner_.read(host, from); }
  void read_kv(const ReadKv& op) override { inner_.read_kv(op); }

  // Without a replay, operations are called one by one.
  void step(const std::function<void()>& body) override {
    if (mode == Mode::pass_through && may_replay)
      inner_.step(body);
    else
      body();
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
    // Each attends to itself and to earlier tokens.
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
    if (mode != Mode::record) return;
    // The next layer overwrites its choice of experts, so this layer's is copied for later.
    const std::size_t num_slots = std::size_t(op.num_tokens) * op.experts_per_token;
    chosen_.push_back(inner_.allocate(num_slots * sizeof(std::int32_t)));
    gates_.push_back(inner_.allocate(num_slots * sizeof(float)));
    Route copy = op;
    copy.experts = chosen_.back()->as<std::int32_t>();
    copy.gates = gates_.back()->as<float>();
    inner_.route(copy);
  }
  void experts(const Experts& given) override {
    if (mode == Mode::pass_through) return inner_.experts(given);  // the choice is not copied within a whole step
    Experts op = given;
    if (mode == Mode::record) {
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
      mode = Mode::pass_through;
      step();
      mode = Mode::time;
    });
  }
  // Outside of a step: it waits.
  void sample(const Sample& op) override {
    time("sample", {.bytes = double(op.num_rows) * op.vocab_size * sizeof(float)}, [&] { inner_.sample(op); });
  }

  // Records an operation of `step`.
  template <typename Step>
  void record(const Step& step) {
    recorded.clear();
    chosen_.clear();
    gates_.clear();
    mode = Mode::record;
    step();
    mode = Mode::time;
  }
  // Invalidates captures, so that steps may contain other operations.
  void forget_steps() { inner_.allocate(sizeof(float)); }
  // Microseconds of each replay of a step that repeats these operations num_rounds times. Empty if the backend does not
  // replay steps of the last staged batch.
  std::vector<double> time_replays(const std::vector<const RecordedOperation*>& operations, int num_rounds, int reps) {
    forget_steps();
    int num_runs = 0;
    const auto body = [&] {
      ++num_runs;
      for (int round = 0; round < num_rounds; ++round)
        for (const RecordedOperation* operation : operations) operation->again();
    };
    std::vector<double> microseconds;
    const auto replay = [&] { microseconds.push_back(microseconds_of([&] { inner_.step(body); })); };
    constexpr int kUntilRecorded = 2;
    for (int time = 0; time < kUntilRecorded; ++time) replay();
    if (num_runs == 0) throw Error(ErrorCode::internal, "the backend replayed a step that was not issued");
    const int num_runs_to_capture = num_runs;
    microseconds.clear();
    for (int rep = 0; rep < reps; ++rep) {
      replay();
      if (num_runs != num_runs_to_capture) return {};
    }
    return microseconds;
  }

 private:
  double floats(int num_tokens) const { return double(num_tokens) * config_.d_model * sizeof(float); }

  // Times one operation of a step.
  template <typename Call>
  void perform(const char* name, const Work& work, const Call& call) {
    if (mode == Mode::record) recorded.push_back({.name = name, .work = work, .again = call});
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
  const model::GrokConfig& config_;
  std::vector<BufferPtr> chosen_, gates_;  // [num_tokens, experts_per_token], of each recorded layer
};

}  // namespace grok::bench
