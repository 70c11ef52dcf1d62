#include "runtime/checkpoint.h"

#include <filesystem>
#include <system_error>
#include <vector>

#include "core/error.h"
#include "format/jax_checkpoint.h"
#include "format/safetensors.h"
#include "model/check_config.h"
#include "model/read_config.h"
#include "model/weights.h"

namespace grok {
namespace {

namespace fs = std::filesystem;

constexpr const char* kJaxDirectory = "ckpt-0";
constexpr const char* kBuiltIn = "built in (Grok-1)";

enum class Format { jax, safetensors };

struct Location {
  fs::path tensors;
  Format format;
};

fs::path without_trailing_slash(const std::string& path) {
  const fs::path normal = fs::path(path).lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

Location locate(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found)
    throw Error(ErrorCode::not_found, concat(path.string(), ": no such file or directory"),
                "Give the directory that holds ckpt-0, as xAI released it.");
  if (error)
    throw Error(ErrorCode::io, concat(path.string(), ": cannot be examined: ", error.message()),
                "Give this user permission to enter the directories on the way.");

  if (!fs::is_directory(status)) {
    if (is_safetensors(path.string())) return {path, Format::safetensors};
    throw Error(ErrorCode::unsupported,
                concat(path.string(), ": expected a ckpt-0 directory or a .safetensors file, found another file"),
                "Give the directory that the tensors lie in.");
  }
  if (has_jax_tensors(path.string())) return {path, Format::jax};
  if (fs::is_directory(path / kJaxDirectory, error)) return {path / kJaxDirectory, Format::jax};
  if (is_safetensors(path.string())) return {path, Format::safetensors};
  fs::directory_iterator listing(path, error);
  if (error)
    throw Error(ErrorCode::io, concat(path.string(), ": cannot be listed: ", error.message()),
                "Give this user permission to read and enter the directory.");
  throw Error(ErrorCode::not_found,
              concat(path.string(), ": expected files tensor00000_000 .., a directory ckpt-0, model.safetensors or ",
                     "model.safetensors.index.json, found none of them"),
              "Give the directory that holds ckpt-0, as xAI released it.");
}

// The file of that name beside the tensors, or beside the ckpt-0 directory; else empty.
fs::path find_beside(const Location& location, const char* name) {
  std::error_code ignored;
  const fs::path folder = location.format == Format::safetensors && !fs::is_directory(location.tensors, ignored)
                              ? location.tensors.parent_path()
                              : location.tensors;
  if (fs::exists(folder / name, ignored)) return folder / name;
  // The parent of a directory of any other name is none of our business.
  const fs::path absolute = without_trailing_slash(fs::absolute(folder, ignored).string());
  if (absolute.filename() == kJaxDirectory && fs::exists(absolute.parent_path() / name, ignored))
    return absolute.parent_path() / name;
  return {};
}

std::unique_ptr<TensorSource> open_jax(const Location& location, const GrokConfig& config, bool has_config) {
  try {
    return open_jax_checkpoint(location.tensors.string(), parameter_names(config.num_layers));
  } catch (const Error& error) {
    if (has_config || !error.hint.empty()) throw;
    throw Error(error.code, error.what(),
                "There is no config.json, so this was taken for Grok-1 itself: 64 layers, 770 files. A checkpoint of "
                "another size needs a config.json beside its tensors.");
  }
}

}  // namespace

Checkpoint open_checkpoint(const std::string& path) {
  const Location location = locate(without_trailing_slash(path));
  const fs::path config_path = find_beside(location, "config.json");
  const bool has_config = !config_path.empty();

  Checkpoint checkpoint;
  checkpoint.path = location.tensors.string();
  checkpoint.config_from = has_config ? "config.json" : kBuiltIn;
  checkpoint.tokenizer = find_beside(location, "tokenizer.model").string();
  if (has_config) {
    checkpoint.config = read_config(config_path.string());
    check_ranges(checkpoint.config, checkpoint.config_from);  // before anything is sized by it
  }
  checkpoint.source = location.format == Format::jax ? open_jax(location, checkpoint.config, has_config)
                                                     : open_safetensors(checkpoint.path);
  check_config(checkpoint.config, derive_sizes(*checkpoint.source), checkpoint.config_from);
  return checkpoint;
}

}  // namespace grok
