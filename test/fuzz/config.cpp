// config.json, its ranges, and the memory plan of the network that it describes.

#include "backend/cpu/cpu.h"
#include "fuzz.h"
#include "model/check_config.h"
#include "model/haiku_naming.h"
#include "model/read_config.h"
#include "runtime/limits.h"
#include "runtime/model_plan.h"
#include "runtime/synthetic.h"

using namespace grok;
using namespace grok::fuzz;

namespace {

constexpr std::uint64_t kAvailableBytes = std::uint64_t(1) << 30;

void plan(const model::GrokConfig& config, const runtime::EngineOptions& options) {
  const runtime::Limits limits = runtime::limits_for(config, options);
  const auto footprint = cpu::make_footprint({.num_threads = 1024, .isa = "", .weights = limits.weight_storage});
  runtime::ModelPlan model = runtime::bind_model(runtime::synthetic_checkpoint(config), options, limits);
  runtime::plan_memory(model, *footprint, kAvailableBytes);
  const runtime::MemoryPlan& memory = model.memory;
  FUZZ_CHECK(memory.kv_page > 0);
  try {
    require_fit(model, *footprint);
    FUZZ_CHECK(num_cache_pages(memory, limits) > 0);
    FUZZ_CHECK(memory.weights <= kAvailableBytes);
  } catch (const Error& error) {
    check_refusal(error, {ErrorCode::out_of_memory});
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size_bytes) {
  static MemoryFile file;
  file.write(input, size_bytes);
  try {
    model::GrokConfig config = model::read_config(file.path());
    model::check_ranges(config, "config.json");
    config.num_layers = std::min(config.num_layers, 40);  // more layers take time and find nothing
    const auto source = runtime::make_synthetic_source(config, 1);
    model::check_config(config, model::derive_sizes(*source, model::haiku_naming()), "config.json");
    for (const char* weights : {"packed", "mapped"})
      for (const char* kv_cache_type : {"f32", "int8"})
        plan(config, {.device = "cpu",
                      .max_sequences = 1024,
                      .prefill_chunk = 65536,
                      .kv_cache_type = kv_cache_type,
                      .weights = weights});
  } catch (const Error& error) {
    check_refusal(error, {ErrorCode::bad_checkpoint, ErrorCode::unsupported});
  }
  return 0;
}
