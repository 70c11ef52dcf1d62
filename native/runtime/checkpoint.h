#pragma once

#include <memory>
#include <string>

#include "format/tensor_source.h"
#include "model/config.h"

namespace grok {

struct Checkpoint {
  std::unique_ptr<TensorSource> source;
  GrokConfig config;
  std::string path;         // the directory or file that holds the tensors
  std::string config_from;  // "config.json" or "built in (Grok-1)"
  std::string tokenizer;    // path of the tokenizer.model beside it, or empty
};

// Opens a checkpoint and checks its config against its shapes; reads no weight. `path` is a ckpt-0 directory, the
// directory that holds one under that name, a .safetensors file, or a directory with model.safetensors or its index.
// config.json and tokenizer.model lie beside the tensors, or beside the ckpt-0 directory.
// Throws not_found, io, bad_checkpoint, unsupported.
Checkpoint open_checkpoint(const std::string& path);

}  // namespace grok
