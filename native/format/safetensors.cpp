#include "format/safetensors.h"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/printable.h"
#include "core/problem_list.h"
#include "format/mapped_file.h"
#include "format/safetensors_header.h"
#include "format/safetensors_index.h"
#include "format/unfinished_download.h"
#include "platform/file.h"

namespace grok::format {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFile = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

// Returns "a/w" for "a/w.scales" and "a/w/scales".
std::optional<std::string> base_of_scales(const std::string& name) {
  constexpr std::string_view kSuffix = "scales";
  if (!name.ends_with(kSuffix) || name.size() < kSuffix.size() + 2) return std::nullopt;
  const std::size_t base_size = name.size() - kSuffix.size() - 1;
  if (name[base_size] != '.' && name[base_size] != '/') return std::nullopt;
  return name.substr(0, base_size);
}

class Safetensors final : public TensorSource {
 public:
  explicit Safetensors(const std::string& path) {
    if (platform::examine(path) == platform::PathKind::directory) {
      add_directory(path);
    } else {
      add_file(path);
    }
    pair_up();
  }

  const std::vector<StoredParameter>& parameters() const override { return parameters_; }
  std::uint64_t size_bytes() const override { return size_bytes_; }
  std::string description() const override {
    return concat("safetensors (", files_.size(), files_.size() == 1 ? " file)" : " files)");
  }

 private:
  struct Place {
    std::string file;
    TensorView view;
  };

  void add_directory(const fs::path& directory) {
    beside_ = platform::list_directory(directory.string());
    refuse_unfinished(kFile);
    if (platform::examine((directory / kFile).string()) != platform::PathKind::missing) {
      add_file(directory / kFile);
    } else {
      add_shards(directory);
    }
  }

  // Returns the names of the file's tensors.
  std::vector<std::string> add_file(const fs::path& path) {
    const std::string label = path.filename().string();
    refuse_unfinished(label);
    files_.push_back(std::make_unique<MappedFile>(path.string()));
    refuse_other_kind(*files_.back(), Expected::safetensors, label, "safetensors");
    std::vector<std::string> names;
    for (SafetensorsEntry& entry : read_safetensors_header(*files_.back(), files_.back()->size_bytes(), label)) {
      const auto [place, is_new] = tensors_.try_emplace(entry.name, Place{label, std::move(entry.view)});
      if (!is_new)
        throw Error(ErrorCode::bad_checkpoint, concat(label, ": expected ", printable(entry.name),
                                                      " in one file, found it also in ", place->second.file));
      names.push_back(std::move(entry.name));
    }
    size_bytes_ = checked_add(size_bytes_, files_.back()->size_bytes());
    return names;
  }

  // A download program may write to the file itself, and store its own state beside it.
  void refuse_unfinished(const std::string& wanted) const {
    for (const std::string& name : beside_)
      if (is_unfinished_download(name, wanted))
        throw Error(ErrorCode::bad_checkpoint, name + ": a download that has not finished",
                    "Let the download finish. If it did, remove this file.");
  }

  void add_shards(const fs::path& directory) {
    const SafetensorsIndex shards = read_safetensors_index((directory / kIndex).string());
    std::map<std::string, std::size_t> num_listed;  // tensors of each shard
    for (const auto& [name, shard] : shards) ++num_listed[shard];

    ProblemList problems;
    for (const auto& [shard, count] : num_listed) {
      try {
        const std::vector<std::string> names = add_file(directory / shard);
        for (const std::string& name : names) {
          const auto listed = shards.find(name);
          if (listed == shards.end() || listed->second != shard)
            problems.add(shard + ": " + printable(name) + " is in the file and not in the index");
        }
        if (names.size() < count)
          problems.add(concat(shard, ": expected the ", count, " tensors of the index, found ", names.size()));
      } catch (const Error& error) {
        problems.add(error);
      }
    }
    problems.throw_if_any((directory / kIndex).string() + ": the shards differ from the index:");
  }

  // Joins weights with their scales, in the order of their names.
  void pair_up() {
    ProblemList problems;
    std::map<std::string, Place*> scales;  // by the name of the weight
    for (auto& [name, place] : tensors_)
      if (const auto base = base_of_scales(name))
        if (!scales.emplace(*base, &place).second)
          problems.add(place.file + ": scales of " + printable(*base) + " twice");

    for (auto& [name, place] : tensors_) {
      if (base_of_scales(name)) continue;
      auto pair = scales.find(name);
      if (pair == scales.end() && (name.ends_with(".weight") || name.ends_with("/weight")))
        pair = scales.find(name.substr(0, name.size() - std::string_view("/weight").size()));
      StoredParameter parameter{name, place.file, std::move(place.view), std::nullopt};
      if (pair != scales.end()) {
        if (pair->second == nullptr) {
          problems.add(place.file + ": weight of " + printable(pair->first) + " twice");
          continue;
        }
        parameter.name = pair->first;
        parameter.scales = std::move(pair->second->view);
        pair->second = nullptr;
      }
      parameters_.push_back(std::move(parameter));
    }
    for (const auto& [base, place] : scales)
      if (place) problems.add(place->file + ": scales of " + printable(base) + " without its weight");
    problems.throw_if_any("the checkpoint's tensors do not pair up:");
    tensors_.clear();
  }

  std::vector<std::string> beside_;  // names in the directory; empty if the file itself was given
  std::vector<std::unique_ptr<MappedFile>> files_;
  std::map<std::string, Place> tensors_;  // not yet paired
  std::vector<StoredParameter> parameters_;
  std::uint64_t size_bytes_ = 0;
};

}  // namespace

bool is_safetensors_name(std::string_view name) { return name.ends_with(".safetensors"); }

bool has_safetensors(const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name == kFile || name == kIndex || is_unfinished_download(name, kFile) ||
           is_unfinished_download(name, kIndex);
  });
}

std::unique_ptr<TensorSource> open_safetensors(const std::string& path) { return std::make_unique<Safetensors>(path); }

}  // namespace grok::format
