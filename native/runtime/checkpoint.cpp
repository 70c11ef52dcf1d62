#include "runtime/checkpoint.h"

#include <filesystem>

#include "core/error.h"
#include "format/jax_checkpoint.h"
#include "format/safetensors.h"
#include "model/check_config.h"
#include "model/haiku_naming.h"
#include "model/read_config.h"
#include "model/weights.h"
#include "runtime/locate.h"
#include "runtime/synthetic.h"

namespace grok::runtime {
namespace {

constexpr const char* kBuiltIn = "built in (Grok-1)";

std::unique_ptr<format::TensorSource> open_jax(const Location& location, const model::GrokConfig& config,
                                               bool has_config) {
  try {
    return format::open_jax_checkpoint(location.tensors.string(), model::haiku_names(config.num_layers));
  } catch (const Error& error) {
    if (has_config || !error.hint.empty()) throw;
    throw Error(error.code, error.what(),
                "There is no config.json, so this was taken for Grok-1 itself: 64 layers, 770 files. A checkpoint of "
                "another size needs a config.json beside its tensors.");
  }
}

}  // namespace

Checkpoint open_checkpoint(const std::string& path) {
  const Location location = locate(path);
  const std::filesystem::path config_path = location.find("config.json");
  const bool has_config = !config_path.empty();

  Checkpoint checkpoint;
  checkpoint.path = location.tensors.string();
  checkpoint.config_from = has_config ? "config.json" : kBuiltIn;
  checkpoint.tokenizer = location.find_tokenizer().string();
  if (has_config) {
    checkpoint.config = model::read_config(config_path.string());
    model::check_ranges(checkpoint.config, checkpoint.config_from);  // before any size is computed from it
  }
  checkpoint.source = location.format == Format::jax ? open_jax(location, checkpoint.config, has_config)
                                                     : format::open_safetensors(checkpoint.path);
  model::check_config(checkpoint.config, model::derive_sizes(*checkpoint.source, *checkpoint.naming),
                      checkpoint.config_from);
  if (const auto file = location.find("generation_config.json"); !file.empty())
    checkpoint.generation = model::read_generation_config(file.string(), checkpoint.config.vocab_size);
  return checkpoint;
}

Checkpoint synthetic_checkpoint(const model::GrokConfig& config) {
  constexpr const char* kName = "synthetic";
  constexpr std::uint64_t kSeed = 1;   // benchmark runs use the same network
  model::check_ranges(config, kName);  // before any size is computed from it
  return {.source = make_synthetic_source(config, kSeed),
          .config = config,
          .path = kName,
          .config_from = kName,
          .tokenizer = "",
          .is_synthetic = true};
}

}  // namespace grok::runtime
