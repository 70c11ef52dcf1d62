#include "format/safetensors.h"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/json.h"
#include "core/printable.h"
#include "core/problem_list.h"
#include "format/json_file.h"
#include "format/mapped_file.h"
#include "format/unfinished_download.h"
#include "platform/file.h"

namespace grok {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
constexpr std::size_t kMaxTensors = 1 << 16;  // Grok-1 has 1,218
constexpr std::size_t kMaxRank = 8;
constexpr const char* kFile = "model.safetensors";
constexpr const char* kCutShort = "The file is cut short or damaged. Download it again.";
constexpr const char* kIndex = "model.safetensors.index.json";

// One entry of a header.
struct Entry {
  std::string name;
  TensorView view;
  std::uint64_t begin = 0;  // bytes into the data
  std::uint64_t end = 0;
};

std::string read_bytes(const MappedFile& file, std::uint64_t offset, std::uint64_t size_bytes) {
  std::string text(size_bytes, '\0');
  file.read(offset, std::as_writable_bytes(std::span(text)));
  return text;
}

[[noreturn]] void fail(const std::string& place, const std::string& expected, const std::string& found,
                       const char* hint = "") {
  throw Error(ErrorCode::bad_checkpoint, place + ": expected " + expected + ", found " + found, hint);
}

// ---------------------------------------------------------------- one file

DType parse_dtype(const std::string& place, const std::string& dtype) {
  if (dtype == "F32") return DType::f32;
  if (dtype == "BF16") return DType::bf16;
  if (dtype == "I8") return DType::i8;
  throw Error(ErrorCode::unsupported, place + ": expected the dtype F32, BF16 or I8, found " + printable(dtype));
}

Entry read_entry(JsonReader& json, const std::string& label, const std::string& name) {
  const std::string place = label + ": " + printable(name);
  Entry entry;
  entry.name = name;
  std::optional<std::string> dtype;
  std::vector<std::uint64_t> offsets;
  bool has_shape = false;
  json.read_object([&](const std::string& key) {
    if (key == "dtype") {
      dtype = json.read_string();
    } else if (key == "shape") {
      has_shape = true;
      json.read_array([&] {
        if (entry.view.shape.size() == kMaxRank) json.fail(concat("at most ", kMaxRank, " axes"));
        entry.view.shape.push_back(json.read_size());
      });
    } else if (key == "data_offsets") {
      json.read_array([&] {
        if (offsets.size() == 2) json.fail("two offsets");
        offsets.push_back(json.read_size());
      });
    } else {
      fail(place, "dtype, shape and data_offsets", printable(key));
    }
  });
  if (!dtype || !has_shape || offsets.size() != 2) fail(place, "dtype, shape and two data_offsets", "fewer");
  entry.view.dtype = parse_dtype(place, *dtype);
  entry.begin = offsets[0];
  entry.end = offsets[1];
  return entry;
}

std::vector<Entry> read_header(const std::string& text, const std::string& label) {
  if (text.empty() || text[0] != '{') fail(label, "a header that starts with \"{\"", "another");
  JsonReader json(text, label + " header");
  std::vector<Entry> entries;
  json.read_object([&](const std::string& name) {
    if (name == "__metadata__") {
      json.read_object([&](const std::string&) { json.read_string(); });
      return;
    }
    if (entries.size() == kMaxTensors) json.fail(concat("at most ", kMaxTensors, " tensors"));
    entries.push_back(read_entry(json, label, name));
  });
  json.finish();
  return entries;
}

// Sorts the entries by place. The data must be covered from its first byte to its last, each byte once.
void check_layout(std::vector<Entry>& entries, const std::string& label, std::uint64_t data_bytes) {
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::uint64_t covered = 0;
  for (const Entry& entry : entries) {
    const std::string place = label + ": " + printable(entry.name);
    if (entry.begin != covered) fail(place, concat("data from byte ", covered), concat("from ", entry.begin));
    if (entry.end < entry.begin || entry.end > data_bytes)
      fail(place, concat("data that ends within the ", data_bytes, " bytes there are"), concat(entry.end), kCutShort);
    const std::uint64_t expected_bytes = entry.view.size_bytes();
    if (entry.end - entry.begin != expected_bytes)
      fail(place, concat(expected_bytes, " bytes for ", name_of(entry.view.dtype), " ", to_string(entry.view.shape)),
           concat(entry.end - entry.begin));
    covered = entry.end;
  }
  if (covered != data_bytes) fail(label, concat(covered, " bytes of data"), concat(data_bytes));
}

std::vector<Entry> read_entries(const MappedFile& file, const std::string& label) {
  constexpr std::uint64_t kPrefixBytes = 8;  // the header's size, little-endian
  if (file.size_bytes() < kPrefixBytes) fail(label, "at least 8 bytes", concat(file.size_bytes()));
  const std::string prefix = read_bytes(file, 0, kPrefixBytes);
  std::uint64_t header_bytes = 0;
  for (std::size_t index = kPrefixBytes; index-- > 0;)
    header_bytes = header_bytes << 8 | static_cast<unsigned char>(prefix[index]);
  const std::uint64_t left = file.size_bytes() - kPrefixBytes;
  if (header_bytes > kMaxHeaderBytes || header_bytes > left)
    fail(label, concat("a header of at most ", std::min(kMaxHeaderBytes, left), " bytes"), concat(header_bytes),
         kCutShort);

  std::vector<Entry> entries = read_header(read_bytes(file, kPrefixBytes, header_bytes), label);
  check_layout(entries, label, left - header_bytes);
  for (Entry& entry : entries) {
    entry.view.source = &file;
    entry.view.offset = kPrefixBytes + header_bytes + entry.begin;
  }
  return entries;
}

// ---------------------------------------------------------------- the index of a sharded checkpoint

// Shard of every tensor.
std::unordered_map<std::string, std::string> read_index(const std::string& path) {
  const std::string text = read_json_file(path, kMaxHeaderBytes);
  JsonReader json(text, path);
  std::unordered_map<std::string, std::string> shards;
  bool has_map = false;
  json.read_object([&](const std::string& key) {
    if (key != "weight_map") {
      json.skip();
      return;
    }
    has_map = true;
    json.read_object([&](const std::string& name) {
      if (shards.size() == kMaxTensors) json.fail(concat("at most ", kMaxTensors, " tensors"));
      std::string shard = json.read_string();
      // A shard lies beside the index: a name with a path in it could read files of anyone's choice.
      if (!shard.ends_with(".safetensors") || shard.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos)
        fail(path, "the name of a .safetensors file beside the index", printable(shard));
      shards.emplace(name, std::move(shard));
    });
  });
  json.finish();
  if (!has_map || shards.empty()) fail(path, "\"weight_map\" with the shard of every tensor", "none");
  return shards;
}

// ---------------------------------------------------------------- parameters

// "a/w" for "a/w.scales" and "a/w/scales".
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
    for (Entry& entry : read_entries(*files_.back(), label)) {
      const auto [place, is_new] = tensors_.try_emplace(entry.name, Place{label, std::move(entry.view)});
      if (!is_new) fail(label, printable(entry.name) + " in one file", "it also in " + place->second.file);
      names.push_back(std::move(entry.name));
    }
    size_bytes_ = checked_add(size_bytes_, files_.back()->size_bytes());
    return names;
  }

  // A download program may write to the file itself, and keep its own state beside it.
  void refuse_unfinished(const std::string& wanted) const {
    for (const std::string& name : beside_)
      if (is_unfinished_download(name, wanted))
        throw Error(ErrorCode::bad_checkpoint, name + ": a download that has not finished",
                    "Let the download finish. If it did, remove this file.");
  }

  void add_shards(const fs::path& directory) {
    const auto shards = read_index((directory / kIndex).string());
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
    problems.throw_if_any((directory / kIndex).string() + ": the shards are not what the index says:");
  }

  // Joins weights with their scales, in the order of names.
  void pair_up() {
    ProblemList problems;
    std::map<std::string, Place*> scales;  // of each base
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

  std::vector<std::string> beside_;  // names in the directory; none for a file that was named itself
  std::vector<std::unique_ptr<MappedFile>> files_;
  std::map<std::string, Place> tensors_;  // until they are paired
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

}  // namespace grok
