#include "runtime/model_plan.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "model/haiku_naming.h"
#include "runtime/devices.h"
#include "runtime/engine.h"
#include "runtime/inspection.h"
#include "runtime/synthetic.h"
#include "support/golden.h"
#include "testing.h"

namespace grok::runtime {
namespace {

using testing::golden_path;

// Counts how often its parameters are listed, which binding does once.
class CountingSource final : public format::TensorSource {
 public:
  CountingSource(std::unique_ptr<format::TensorSource> source, int& num_listed)
      : source_(std::move(source)), num_listed_(num_listed) {}

  const std::vector<format::StoredParameter>& parameters() const override {
    ++num_listed_;
    return source_->parameters();
  }
  std::uint64_t size_bytes() const override { return source_->size_bytes(); }
  std::string description() const override { return source_->description(); }

 private:
  const std::unique_ptr<format::TensorSource> source_;
  int& num_listed_;
};

void inspect_with(void (*change)(EngineOptions&)) {
  EngineOptions options;
  change(options);
  inspect(golden_path("ref-small"), options);
}

TEST("a device that does not exist is refused with the reason") {
  CHECK_ERROR(inspect_with([](EngineOptions& options) { options.device = "tpu"; }), ErrorCode::invalid_argument,
              "\"auto\", \"cpu\" or \"cuda\", found \"tpu\"");
  if (const std::string reason = why_no_cuda(); !reason.empty())
    CHECK_ERROR(Engine::open(golden_path("ref-small"), {.device = "cuda"}), ErrorCode::cuda_unavailable, reason);
}

TEST("device \"auto\" is a GPU if there is one, or says why it is the CPU; a named device explains nothing") {
  const auto engine = Engine::open_synthetic(synthetic_shape("mid", 6), {});
  const auto small = Engine::open(golden_path("ref-small"), {});
  CHECK_EQ(engine->inspection().why_cpu, engine->device().starts_with("cuda (") ? "" : why_no_cuda());
  CHECK_EQ(engine->device().starts_with("cuda ("), why_no_cuda().empty());
  CHECK(small->device().starts_with("cpu ("));
  CHECK_EQ(small->inspection().why_cpu, "a model this small starts sooner on the CPU");
  CHECK_EQ(inspect(golden_path("ref-small"), {}).why_cpu, small->inspection().why_cpu);
  CHECK_EQ(inspect(golden_path("ref-small"), {.device = "cpu"}).why_cpu, "");
}

TEST("device \"auto\" is the CPU if an option works only there") {
  CHECK_EQ(inspect(golden_path("ref-small"), {.isa = "portable"}).why_cpu,
           "an instruction set of the CPU was requested");
  CHECK_EQ(inspect(golden_path("ref-small"), {.weights = "mapped"}).why_cpu, "mapped weights were requested");
}

TEST("device \"auto\" is the CPU where the model fits that and no GPU") {
  const model::GrokConfig config = synthetic_shape("mid", 6);
  const MemoryPlan on_cpu = Engine::open_synthetic(config, {.device = "cpu"})->inspection().memory;
  const auto engine = Engine::open_synthetic(config, {.memory_limit = on_cpu.total()});  // a GPU also has a reserve
  CHECK(engine->device().starts_with("cpu ("));
  if (const std::string reason = why_no_cuda(); reason.empty())
    CHECK(engine->inspection().why_cpu.starts_with("on the GPU, "));
  else
    CHECK_EQ(engine->inspection().why_cpu, reason);
}

TEST("a model larger than the memory limit is refused before a weight is read") {
  EngineOptions options;
  options.memory_limit = 2'000'000;
  CHECK_ERROR(Engine::open(golden_path("ref-small"), options), ErrorCode::out_of_memory, "2 MB is available");
}

TEST("a model that just fits its limit opens, with cache for what is left") {
  EngineOptions options;
  const MemoryPlan plan = inspect(golden_path("ref-small"), options).memory;
  const std::uint64_t one_sequence = plan.kv_cache / 4;
  options.memory_limit = plan.weights + plan.workspace + one_sequence;
  const auto engine = Engine::open(golden_path("ref-small"), options);
  while (!engine->load_next().done) continue;
  engine->set_runnable({engine->submit({.prompt = {1}, .max_tokens = 127}),  // takes all pages
                        engine->submit({.prompt = {2}, .max_tokens = 1})});
  CHECK_EQ(engine->step().size(), 1u);
}

constexpr const char* kEmbedded = GROK_PROJECT_DIR "/models/grok-tiny";  // smaller mapped than packed

std::vector<MemoryFit> fits_of(const EngineOptions& options) {
  try {
    Engine::open(kEmbedded, options);
  } catch (const MemoryError& error) {
    CHECK(error.hint.empty());
    return error.fits;
  }
  return {};
}

TEST("mapped weights are offered where they help, and a higher limit where there is one") {
  EngineOptions options{.device = "cpu", .max_sequences = 1, .weights = "mapped"};
  options.memory_limit = inspect(kEmbedded, options).memory.total();
  options.weights = "packed";
  const std::vector<MemoryFit> fits = fits_of(options);
  const auto is_mapped = [](const MemoryFit& fit) {
    return fit.weights == WeightStorage::mapped && !fit.context_length;
  };
  CHECK(std::any_of(fits.begin(), fits.end(), is_mapped));
  const auto enough = fits.empty() ? std::nullopt : fits.back().memory_limit;
  if (!enough) return testing::fail(__FILE__, __LINE__, "no higher limit is offered");
  CHECK(*enough > options.memory_limit);
  options.memory_limit = *enough - 1;
  CHECK(!fits_of(options).empty());
  options.memory_limit = *enough;
  Engine::open(kEmbedded, options);
}

TEST("mapped weights are offered beside other changes where neither helps alone, and not where they were chosen") {
  EngineOptions options{.device = "cpu", .max_sequences = 1, .kv_cache_type = "int8", .weights = "mapped"};
  options.context_length = kPageSize;
  options.prefill_chunk = kPageSize;
  const std::uint64_t least = inspect(kEmbedded, options).memory.total();
  const EngineOptions packed{.device = "cpu", .max_sequences = 1, .memory_limit = least};
  const std::vector<MemoryFit> fits = fits_of(packed);
  if (fits.size() != 2) return testing::fail(__FILE__, __LINE__, concat(fits.size(), " ways, expected 2"));
  CHECK(fits[0].weights == WeightStorage::mapped && fits[0].kv_cache_type == KvCacheType::int8);
  CHECK_EQ(fits[0].context_length.value_or(0), kPageSize);
  options.memory_limit = least - 1;
  for (const MemoryFit& fit : fits_of(options)) CHECK(!fit.weights);
}

TEST("a checkpoint is bound once, on a requested device and on a chosen one") {
  const model::GrokConfig mid = synthetic_shape("mid", 6);
  const std::uint64_t cpu_bytes = Engine::open_synthetic(mid, {.device = "cpu"})->inspection().memory.total();
  for (const EngineOptions& options :
       {EngineOptions{.device = "cpu"}, EngineOptions{}, EngineOptions{.memory_limit = cpu_bytes}}) {
    int num_bound = 0;
    Checkpoint checkpoint = synthetic_checkpoint(mid);
    checkpoint.source = std::make_unique<CountingSource>(std::move(checkpoint.source), num_bound);
    const auto engine = Engine::open(std::move(checkpoint), options);
    CHECK_EQ(engine->inspection().tensors.size(), model::haiku_names(mid.num_layers).size());
    engine->load_next();
    CHECK_EQ(num_bound, 1);
  }
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
