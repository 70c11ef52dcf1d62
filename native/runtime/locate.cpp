#include "runtime/locate.h"

#include <algorithm>
#include <optional>
#include <system_error>

#include "core/error.h"
#include "core/printable.h"
#include "format/file_kind.h"
#include "format/jax_checkpoint.h"
#include "format/safetensors.h"
#include "platform/file.h"

namespace grok::runtime {
namespace {

namespace fs = std::filesystem;

constexpr const char* kJaxDirectory = "ckpt-0";
constexpr const char* kGiveDirectory = "Give the directory that holds ckpt-0, as xAI released it.";

// Bounds of the search below a directory. xAI's repository and Hugging Face's cache need three levels.
constexpr int kMaxLevels = 4;
constexpr std::size_t kMaxFolders = 256;

fs::path without_trailing_slash(const std::string& path) {
  const fs::path normal = fs::path(path).lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

std::optional<Format> format_of(const std::vector<std::string>& names) {
  if (format::has_jax_tensors(names)) return Format::jax;
  if (format::has_safetensors(names)) return Format::safetensors;
  return std::nullopt;
}

struct Found {
  fs::path tensors;
  Format format;
  bool is_file = false;
};

// The checkpoints on the first level below `root` that has any. Skips hidden and unreadable folders.
std::vector<Found> search_below(const fs::path& root) {
  std::vector<fs::path> level = {root};
  std::vector<Found> found;
  for (int depth = 0; depth < kMaxLevels && found.empty(); ++depth) {
    std::vector<fs::path> folders;
    for (const fs::path& parent : level) {
      try {
        for (const std::string& name : platform::list_directory(parent.string())) {
          std::error_code ignored;
          if (!name.starts_with('.') && folders.size() < kMaxFolders && fs::is_directory(parent / name, ignored))
            folders.push_back(parent / name);
        }
      } catch (const Error&) {
      }
    }
    for (const fs::path& folder : folders) {
      try {
        if (const auto format = format_of(platform::list_directory(folder.string())))
          found.push_back({folder, *format});
      } catch (const Error&) {
      }
    }
    level = std::move(folders);
  }
  return found;
}

struct OtherFile {
  std::string name;
  format::FileKind kind;
};

// In a folder without a checkpoint, the largest file of a known kind: an archive or a model of another program.
std::optional<OtherFile> recognize_largest(const fs::path& folder, const std::vector<std::string>& names) {
  std::optional<OtherFile> largest;
  std::uint64_t largest_bytes = 0;
  for (const std::string& name : names) {
    try {
      const platform::InputFile file((folder / name).string());
      if (file.size_bytes() <= largest_bytes) continue;
      auto kind = format::recognize(file.read(format::kFileHeadBytes), format::Expected::json);
      if (format::is_safetensors_name(name))
        kind = {"a safetensors file", "Name that file. Several need model.safetensors.index.json beside them."};
      if (!kind) continue;
      largest = {name, *kind};
      largest_bytes = file.size_bytes();
    } catch (const Error&) {
      // Folders, pipes and unreadable files tell nothing.
    }
  }
  return largest;
}

[[noreturn]] void refuse_file(const fs::path& path) {
  const std::string head = platform::InputFile(path.string()).read(format::kFileHeadBytes);
  // A single tensor or config has a valid kind, but was given instead of its directory.
  const auto kind = format::recognize(head, format::Expected::json) ? format::recognize(head, format::Expected::pickle)
                                                                    : std::nullopt;
  throw Error(ErrorCode::unsupported,
              concat(path.string(), ": expected a ckpt-0 directory or a .safetensors file, found ",
                     kind ? kind->name : "another file"),
              kind ? kind->fix : "Give the directory that the tensors lie in.");
}

Found find_tensors(const fs::path& path) {
  switch (platform::examine(path.string())) {
    case platform::PathKind::missing:
      throw Error(ErrorCode::not_found, concat(path.string(), ": no such file or directory"), kGiveDirectory);
    case platform::PathKind::directory: break;
    default:
      if (format::is_safetensors_name(path.string())) return {path, Format::safetensors, true};
      refuse_file(path);
  }
  const std::vector<std::string> names = platform::list_directory(path.string());
  if (format::has_jax_tensors(names)) return {path, Format::jax};
  const bool has_directory = platform::examine((path / kJaxDirectory).string()) == platform::PathKind::directory;
  if (has_directory && format::has_jax_tensors(platform::list_directory((path / kJaxDirectory).string())))
    return {path / kJaxDirectory, Format::jax};
  if (format::has_safetensors(names)) return {path, Format::safetensors};

  const std::vector<Found> found = search_below(path);
  if (found.size() == 1) return found.front();
  if (found.size() > 1)
    throw Error(ErrorCode::invalid_argument,
                concat(path.string(), ": expected one checkpoint, found ", found.size(), " below it, such as ",
                       found[0].tensors.string(), " and ", found[1].tensors.string()),
                "Give the path of one of them.");
  if (has_directory) return {path / kJaxDirectory, Format::jax};
  const std::optional<OtherFile> other = recognize_largest(path, names);
  throw Error(ErrorCode::not_found,
              concat(path.string(), ": expected files tensor00000_000 .., a directory ckpt-0, model.safetensors or ",
                     "model.safetensors.index.json, found ",
                     other ? concat(printable(other->name), ", ", other->kind.name) : "none of them"),
              other ? other->kind.fix : kGiveDirectory);
}

// Folders above `folder` that may belong to its checkpoint: those below `root`, and the parent of a folder ckpt-0. The
// parent of a folder of any other name may hold files of another model.
void add_parents(fs::path folder, const fs::path& root, Location& location) {
  bool is_below_root = folder != root;
  while (folder.has_relative_path() && (is_below_root || folder.filename() == kJaxDirectory)) {
    const bool is_jax_directory = folder.filename() == kJaxDirectory;
    folder = folder.parent_path();
    location.folders.push_back(folder);
    if (is_jax_directory) location.above = {folder.parent_path()};
    if (folder == root) is_below_root = false;
  }
}

fs::path find_in(const std::vector<fs::path>& folders, const char* name) {
  for (const fs::path& folder : folders)
    if (platform::examine((folder / name).string()) != platform::PathKind::missing) return folder / name;
  return {};
}

}  // namespace

fs::path Location::find(const char* name) const { return find_in(folders, name); }

fs::path Location::find_tokenizer() const {
  const fs::path found = find("tokenizer.model");
  // xAI's repository has it one level above the folder that holds ckpt-0.
  return found.empty() ? find_in(above, "tokenizer.model") : found;
}

Location locate(const std::string& path) {
  const fs::path root = without_trailing_slash(path);
  const Found found = find_tensors(root);
  const fs::path folder = found.is_file ? found.tensors.parent_path() : found.tensors;
  Location location{found.tensors, found.format, {folder}, {}};
  if (found.is_file) return location;
  std::error_code ignored;
  const auto absolute = [&](const fs::path& relative) {
    return without_trailing_slash(fs::absolute(relative, ignored).string());
  };
  add_parents(absolute(folder), absolute(root), location);
  // A link to a folder ckpt-0 may have any name.
  const fs::path real = fs::canonical(folder, ignored);
  add_parents(real, real, location);
  return location;
}

}  // namespace grok::runtime
