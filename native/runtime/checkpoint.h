#pragma once

#include <memory>
#include <string>

#include "format/tensor_source.h"
#include "model/config.h"
#include "model/generation_config.h"
#include "model/haiku_naming.h"

namespace grok::runtime {

struct Checkpoint {
  std::unique_ptr<format::TensorSource> source;
  const model::Naming* naming = &model::haiku_naming();  // of the source's tensors
  model::GrokConfig config;
  std::string path;                         // directory or file of the tensors
  std::string config_from;                  // "config.json" or "built in (Grok-1)"
  model::GenerationConfig generation = {};  // of the generation_config.json beside it, or empty
  std::string tokenizer;                    // path of the tokenizer.model beside it, or empty
  bool is_synthetic = false;                // synthetic weights: any number of layers is possible
};

// Opens a checkpoint and checks its config against its shapes; reads no weight. `path` is a ckpt-0 directory, a
// .safetensors file, a directory with model.safetensors or its index, or a directory above one of these. Throws
// not_found, io, bad_checkpoint, unsupported, invalid_argument.
Checkpoint open_checkpoint(const std::string& path);

// Synthetic weights (runtime/synthetic.h), the same ones every time. Throws bad_checkpoint for a config out of range.
Checkpoint synthetic_checkpoint(const model::GrokConfig& config);

}  // namespace grok::runtime
