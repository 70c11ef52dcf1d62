#include "support/restore_emulator.h"
#include "testing.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <numeric>

#include "backend/cuda/cuda_backend.h"
#include "emulator/emulator.h"
#include "model/forward.h"
#include "model/haiku_naming.h"
#include "model/weights.h"
#include "runtime/kv_cache.h"
#include "runtime/synthetic.h"
#include "support/on_device.h"
#include "support/small_engine.h"

using namespace grok;
using namespace grok::cuda;
using namespace grok::testing;

// A replayed step equals the issued one: each runs on two backends. One may replay and quantizes the rows that operations
// write, the other does neither.
namespace {

constexpr int kMaxTokens = 128, kMaxSequences = 20, kPagesEach = 6;

// One sequence's part of a step.
struct Part {
  int sequence = 0;
  int position = 0;  // of its first token
  int num_tokens = 1;
};

class Network {
 public:
  explicit Network(bool may_replay)
      : may_replay_(may_replay),
        made_(make_backend({})),
        source_(runtime::make_synthetic_source(config_, 1)),
        network_(model::bind_weights(config_, *source_, model::haiku_naming())),
        workspace_(*made_, config_,
                   {.num_tokens = kMaxTokens, .num_outputs = kMaxSequences, .layers = network_.layers}),
        cache_(*made_, config_, KvCacheType::f32, kMaxSequences * kPagesEach) {
    for (const model::BoundWeight& weight : network_.weights) weight.load(*made_, weights_);
    if (may_replay) return;
    workspace_.normed_quantized = nullptr;
    workspace_.attended_quantized = nullptr;
  }

  CudaBackend& backend() { return static_cast<CudaBackend&>(*made_); }
  const StepGraphs& graphs() { return backend().graphs(); }

  // Logits after each part's last token, or after those of the first num_outputs. The page table has max_pages a row.
  std::vector<float> run(const std::vector<Part>& parts, int max_pages = kPagesEach, int num_outputs = -1) {
    std::vector<std::int32_t> tokens, positions, sequences, last_rows, pages;
    for (std::size_t index = 0; index < parts.size(); ++index) {
      const Part& part = parts[index];
      for (int i = 0; i < part.num_tokens; ++i) {
        tokens.push_back((part.sequence * 7 + (part.position + i) * 11) % config_.vocab_size);
        positions.push_back(part.position + i);
        sequences.push_back(std::int32_t(index));
      }
      last_rows.push_back(std::int32_t(tokens.size()) - 1);
      for (int page = 0; page < max_pages; ++page)
        pages.push_back(page < kPagesEach ? (kPagesEach - 1 - page) * kMaxSequences + part.sequence : 0);
    }
    const Batch batch = backend().stage({.tokens = tokens.data(),
                                         .positions = positions.data(),
                                         .sequences = sequences.data(),
                                         .page_tables = pages.data(),
                                         .output_rows = last_rows.data(),
                                         .num_tokens = int(tokens.size()),
                                         .num_sequences = int(parts.size()),
                                         .max_pages = max_pages,
                                         .num_outputs = num_outputs < 0 ? int(parts.size()) : num_outputs});
    const auto body = [&] {
      model::forward(config_, weights_, batch, cache_.layers(), workspace_, backend());
      if (after_forward) after_forward();
    };
    may_replay_ ? backend().step(body) : body();
    std::vector<float> logits(std::size_t(batch.num_outputs) * config_.vocab_size);
    backend().read(std::span(logits), workspace_.logits->as<float>());
    return logits;
  }

  int num_layers() const { return config_.num_layers; }

  std::function<void()> after_forward;

 private:
  const model::GrokConfig config_ = small_config();
  const bool may_replay_;
  const std::unique_ptr<Backend> made_;
  const std::unique_ptr<format::TensorSource> source_;
  const model::BoundNetwork network_;
  model::Weights weights_{config_.num_layers};
  model::Workspace workspace_;
  runtime::KvCache cache_;
};

struct Pair {
  Network replaying{true}, plain{false};

  void check_same(const std::vector<Part>& parts, int max_pages = kPagesEach, int num_outputs = -1) {
    const auto found = replaying.run(parts, max_pages, num_outputs),
               expected = plain.run(parts, max_pages, num_outputs);
    CHECK(found == expected);
    CHECK(std::none_of(found.begin(), found.end(), [](float logit) { return std::isnan(logit); }));
  }
};

}  // namespace

TEST("a repeated step is replayed, and uses the tokens, positions and pages staged now") {
  Pair pair;
  const StepGraphs& graphs = pair.replaying.graphs();
  for (int position = 0; position < 3; ++position) pair.check_same({{.sequence = 0, .position = position}});
  CHECK_EQ(graphs.num_captured(), 1);
  CHECK_EQ(graphs.num_replayed(), 2);
  CHECK_EQ(graphs.why_not(), "");
  // Another sequence, from its start, and then both in turn.
  for (int position = 0; position < 3; ++position) {
    pair.check_same({{.sequence = 5, .position = position}});
    pair.check_same({{.sequence = 0, .position = position + 3}});
  }
  CHECK_EQ(graphs.num_captured(), 1);
  CHECK_EQ(graphs.num_replayed(), 8);
}

TEST("a layer is 13 launches for one token, and one more for several") {
  Pair pair;
  const auto launches_of = [&](const std::vector<Part>& parts) {
    const int before = emulator::num_launches();
    pair.replaying.run(parts);
    return emulator::num_launches() - before;
  };
  // embed, norm, and two of logits.
  CHECK_EQ(launches_of({{.sequence = 0, .position = 1}}), 4 + 13 * pair.replaying.num_layers());
  CHECK_EQ(launches_of({{.sequence = 0, .position = 2}, {.sequence = 1}}), 4 + 14 * pair.replaying.num_layers());
}

TEST("another number of sequences or of outputs is another graph, and the first is used again") {
  Pair pair;
  const StepGraphs& graphs = pair.replaying.graphs();
  const std::vector<Part> one = {{.sequence = 1, .position = 3}},
                          three = {{.sequence = 1, .position = 3}, {.sequence = 0}, {.sequence = 7}};
  for (int position = 0; position < 3; ++position) pair.check_same({{.sequence = 1, .position = position}});
  for (int time = 0; time < 2; ++time) pair.check_same(three);
  CHECK_EQ(graphs.num_captured(), 2);
  for (int time = 0; time < 2; ++time) pair.check_same(three, kPagesEach, 2);
  CHECK_EQ(graphs.num_captured(), 3);
  const int before = graphs.num_replayed();
  pair.check_same(one);
  CHECK_EQ(graphs.num_captured(), 3);
  CHECK_EQ(graphs.num_replayed(), before + 1);
}

TEST("a context that outgrows the launches' bounds is another graph") {
  Pair pair;
  const int almost = 4 * kPageSize - 3;
  for (int position = 0; position < almost; position += kMaxTokens)
    pair.check_same({{.sequence = 2, .position = position, .num_tokens = std::min(kMaxTokens, almost - position)}});
  CHECK_EQ(pair.replaying.graphs().num_captured(), 0);
  for (int position = almost; position < almost + 6; ++position)
    pair.check_same({{.sequence = 2, .position = position}});
  CHECK_EQ(pair.replaying.graphs().num_captured(), 2);
  CHECK_EQ(pair.replaying.graphs().num_replayed(), 4);
}

TEST("a wider page table is another graph, one that is as wide when rounded up is not") {
  Pair pair;
  const std::vector<Part> parts = {{.sequence = 4}, {.sequence = 3}};
  for (const int max_pages : {3, 3, 4, 1}) pair.check_same(parts, max_pages);
  CHECK_EQ(pair.replaying.graphs().num_captured(), 1);
  for (const int max_pages : {5, 8, 6, 2}) pair.check_same(parts, max_pages);
  CHECK_EQ(pair.replaying.graphs().num_captured(), 2);
}

TEST("memory that has grown meanwhile is not the memory of the graph") {
  Pair pair;
  for (int position = 0; position < 2; ++position) pair.check_same({{.sequence = 0, .position = position}});
  // The scratch memory of 128 tokens, and page tables of more than 64 KiB.
  pair.check_same({{.sequence = 1, .num_tokens = kMaxTokens}}, 20'000);
  for (int position = 2; position < 6; ++position) pair.check_same({{.sequence = 0, .position = position}});
  CHECK_EQ(pair.replaying.graphs().num_captured(), 2);
}

TEST("a step that the device cannot capture is launched normally, and the reason is kept") {
  const Restore restore;
  for (const char* refused : {"cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate"}) {
    Pair pair;
    const StepGraphs& graphs = pair.replaying.graphs();
    pair.check_same({{.sequence = 0}});
    CHECK_EQ(graphs.why_not(), "first step of this shape");
    emulator::fail(refused, cudaErrorStreamCaptureUnsupported);
    for (int position = 1; position < 4; ++position) pair.check_same({{.sequence = 0, .position = position}});
    CHECK_EQ(graphs.num_replayed(), 0);
    CHECK(graphs.why_not().find("cannot capture launches: cudaErrorStreamCaptureUnsupported") != std::string::npos);
  }
}

TEST("a step that waits for the device, or allocates memory, is not captured, but still runs") {
  const Restore restore;
  Pair pair;
  const StepGraphs& graphs = pair.replaying.graphs();
  Network& network = pair.replaying;
  BufferPtr asked_for;
  float first = 0;
  const BufferPtr something = on_device(network.backend(), {3.0f});
  network.after_forward = [&] { network.backend().read(std::span(&first, 1), something->as<float>()); };
  for (int position = 0; position < 3; ++position) pair.check_same({{.sequence = 0, .position = position}});
  CHECK_EQ(first, 3.0f);
  CHECK(graphs.why_not().find("failed at waiting for the device") != std::string::npos);
  network.after_forward = [&] { asked_for = std::make_unique<DeviceMemory>(1000); };
  for (int time = 0; time < 3; ++time) pair.check_same({{.sequence = 0, .position = 3}, {.sequence = 1}});
  CHECK(graphs.why_not().find("an allocation of 1000 bytes") != std::string::npos);
  CHECK_EQ(graphs.num_captured(), 0);
}

TEST("a step that is cancelled during its capture ends there, and the next goes on") {
  Pair pair;
  for (int position = 0; position < 2; ++position) pair.check_same({{.sequence = 0}, {.sequence = 1}});
  pair.check_same({{.sequence = 0, .position = 1}});
  pair.replaying.after_forward = [] { throw Error(ErrorCode::cancelled, "stopped"); };
  CHECK_ERROR(pair.replaying.run({{.sequence = 0, .position = 2}}), ErrorCode::cancelled, "stopped");
  pair.replaying.after_forward = nullptr;
  for (int position = 2; position < 5; ++position) pair.check_same({{.sequence = 0, .position = position}});
  CHECK_EQ(pair.replaying.graphs().num_captured(), 2);
}

TEST("the quantized copy of a norm equals a product's own, and is read only where it fits") {
  const int num_tokens = 3, width = 16;
  // Products of several rows, with quantized copies or without.
  const auto products_of = [&](int num_limbs, int d_model, bool are_quantized) {
    const auto made = make_backend({.num_limbs = num_limbs});
    auto& backend = static_cast<CudaBackend&>(*made);
    const MadeUpMatrix w(1, std::uint64_t(d_model), width, 1, 1), grouped(1, std::uint64_t(d_model), width, 2, 2);
    const MatrixPtr matrix = backend.load_matrix(w.view()), grouped_matrix = backend.load_matrix(grouped.view());
    const auto random = [&](int num_rows, unsigned seed) {
      return random_floats(std::size_t(num_rows * d_model), seed);
    };
    const Bytes rows(random(num_tokens, 4));
    const TablePtr table = backend.load_table({DType::f32, {num_tokens, std::uint64_t(d_model)}, &rows, 0});
    const BufferPtr x = on_device(backend, random(num_tokens, 1)), y = on_device(backend, random(num_tokens, 2)),
                    weight = on_device(backend, random(1, 3)),
                    normed = unwritten(backend, std::size_t(num_tokens * d_model)),
                    out = unwritten(backend, std::size_t(5 * num_tokens * width + 2 * num_tokens));
    const auto quantized = [&](int num_rows, int num_groups) {
      return are_quantized ? backend.allocate_quantized({num_rows, d_model, num_groups}) : nullptr;
    };
    const QuantizedRowsPtr whole = quantized(num_tokens, 1), in_groups = quantized(num_tokens, 2),
                           too_few = quantized(num_tokens - 1, 1);
    const std::vector<std::int32_t> ids = {0, 1, 2}, output_rows = {2, 0};
    const Batch batch = backend.stage({.tokens = ids.data(),
                                       .positions = ids.data(),
                                       .sequences = ids.data(),
                                       .output_rows = output_rows.data(),
                                       .num_tokens = num_tokens,
                                       .num_outputs = 2});
    float* to = out->as<float>();
    const auto norm = [&](const QuantizedRowsPtr& quantized) {
      backend.norm({.out = normed->as<float>(),
                    .out_quantized = quantized.get(),
                    .x = x->as<float>(),
                    .weight = weight->as<float>(),
                    .num_tokens = num_tokens,
                    .d_model = d_model,
                    .eps = 1e-5f});
    };
    const auto multiply = [&](const QuantizedRowsPtr& quantized, const MatrixPtr& by) {
      backend.attention_out({.out = to,
                             .x = normed->as<float>(),
                             .x_quantized = quantized.get(),
                             .w = by.get(),
                             .num_tokens = num_tokens});
      to += num_tokens * width;
    };
    norm(whole);
    multiply(whole, matrix);
    multiply(whole, grouped_matrix);  // other scale groups
    norm(in_groups);
    multiply(in_groups, grouped_matrix);
    norm(too_few);
    multiply(too_few, matrix);
    backend.add_norm({.residual = x->as<float>(),
                      .out = normed->as<float>(),
                      .out_quantized = whole.get(),
                      .y = y->as<float>(),
                      .post_weight = weight->as<float>(),
                      .pre_weight = weight->as<float>(),
                      .num_tokens = num_tokens,
                      .d_model = d_model,
                      .eps = 1e-5f});
    multiply(whole, matrix);
    backend.logits(
        {.out = to, .x = normed->as<float>(), .x_quantized = whole.get(), .table = table.get(), .batch = &batch});
    return read_floats(backend, *out);
  };
  for (const int num_limbs : {2, 3})
    for (const int d_model : {48, 2100, 2102}) {  // all in registers, except for the last
      const auto found = products_of(num_limbs, d_model, true);
      CHECK(found == products_of(num_limbs, d_model, false));
      CHECK(std::none_of(found.begin(), found.end(), [](float value) { return std::isnan(value); }));
    }
}

TEST("graphs are forgotten when memory changes hands, and the longest unused one when there are many") {
  const auto made = make_backend({});
  auto& backend = static_cast<CudaBackend&>(*made);
  const BufferPtr weight = on_device(backend, std::vector<float>(16, 1.0f));
  const auto step_of = [&](int num_tokens) {
    const std::vector<std::int32_t> zeros(std::size_t(num_tokens), 0);
    backend.stage(
        {.tokens = zeros.data(), .positions = zeros.data(), .sequences = zeros.data(), .num_tokens = num_tokens});
    backend.step([&] {
      backend.norm({.out = weight->as<float>(),
                    .x = weight->as<float>(),
                    .weight = weight->as<float>(),
                    .num_tokens = 1,
                    .d_model = 16,
                    .eps = 1e-5f});
    });
  };
  const auto captured_by = [&](int num_tokens) {
    const int before = backend.graphs().num_captured();
    step_of(num_tokens);
    step_of(num_tokens);
    return backend.graphs().num_captured() - before;
  };
  CHECK_EQ(captured_by(1), 1);
  CHECK_EQ(captured_by(1), 0);
  const BufferPtr other = backend.allocate(16);
  CHECK_EQ(captured_by(1), 1);
  for (int num_tokens = 2; num_tokens <= 16; ++num_tokens) CHECK_EQ(captured_by(num_tokens), 1);
  CHECK_EQ(captured_by(1), 0);
  CHECK_EQ(captured_by(17), 1);
  CHECK_EQ(captured_by(1), 0);
  CHECK_EQ(captured_by(2), 1);
  CHECK_EQ(captured_by(65), 0);
  CHECK(backend.graphs().why_not().find("batch too large") != std::string::npos);
}

TEST_MAIN()
