#include "format/jax_checkpoint.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/problem_list.h"
#include "format/mapped_file.h"
#include "format/pickle.h"
#include "format/unfinished_download.h"
#include "platform/file.h"

namespace grok::format {
namespace {

namespace fs = std::filesystem;

// tensor<5 digits>_<3 digits>: the leaf's number and the host that saved it.
struct TensorFileName {
  std::size_t number;
  std::size_t host;
};

constexpr std::string_view kPattern = "tensorDDDDD_DDD";

std::optional<TensorFileName> parse_file_name(std::string_view name) {
  if (name.size() != kPattern.size()) return std::nullopt;
  TensorFileName parsed{0, 0};
  for (std::size_t index = 0; index < name.size(); ++index) {
    const char character = name[index];
    if (kPattern[index] != 'D') {
      if (character != kPattern[index]) return std::nullopt;
      continue;
    }
    if (character < '0' || character > '9') return std::nullopt;
    std::size_t& value = index < 11 ? parsed.number : parsed.host;
    value = value * 10 + std::size_t(character - '0');
  }
  return parsed;
}

std::string file_name(std::size_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "tensor%05zu_000", number);
  return text;
}

// tensor00012_000.part, tensor00012_000.aria2, tensor00012_000.incomplete ...
bool is_unfinished_tensor(std::string_view name) {
  const std::string_view whole = name.substr(0, kPattern.size());
  return parse_file_name(whole) && is_unfinished_download(name, whole);
}

// Numbers of the tensor files of host 0. Adds other files that look like part of a checkpoint to `problems`.
std::set<std::size_t> survey(const std::string& directory, const std::string& label, std::size_t num_expected,
                             ProblemList& problems) {
  std::set<std::size_t> numbers;
  for (const std::string& name : platform::list_directory(directory)) {
    const std::string place = label + "/" + name;
    if (const auto parsed = parse_file_name(name)) {
      if (parsed->host != 0) {
        problems.add(place + ": expected files of host 000 only, as xAI released them, found another host's");
      } else if (parsed->number >= num_expected) {
        problems.add(concat(place, ": expected no number above ", num_expected - 1));
        numbers.insert(parsed->number);
      } else {
        numbers.insert(parsed->number);
      }
    } else if (is_unfinished_tensor(name)) {
      problems.add(place + ": a download that has not finished");
    }
  }
  return numbers;
}

class JaxCheckpoint final : public TensorSource {
 public:
  JaxCheckpoint(const std::string& directory, const std::vector<std::string>& names) {
    const std::string label = fs::path(directory).filename().string();
    ProblemList problems;
    const std::set<std::size_t> numbers = survey(directory, label, names.size(), problems);
    for (std::size_t number = 0; number < names.size(); ++number) {
      const std::string place = label + "/" + file_name(number);
      if (!numbers.contains(number)) {
        problems.add(place + ": missing (" + names[number] + ")");
        continue;
      }
      try {
        open_file((fs::path(directory) / file_name(number)).string(), place, names[number]);
      } catch (const Error& error) {
        problems.add(error);
      }
    }
    problems.throw_if_any(concat(directory, ": expected ", names.size(), " files (2, and 12 for each layer), found ",
                                 numbers.size(), "; problems:"));
  }

  const std::vector<StoredParameter>& parameters() const override { return parameters_; }
  std::uint64_t size_bytes() const override { return size_bytes_; }
  std::string description() const override { return concat("ckpt-0 (", files_.size(), " files)"); }

 private:
  void open_file(const std::string& path, const std::string& place, const std::string& name) {
    auto file = std::make_unique<MappedFile>(path);
    refuse_other_kind(*file, Expected::pickle, place, "a tensor's pickle");
    PickledTensor tensor = read_pickle(*file, file->size_bytes(), place);
    parameters_.push_back({name, place, std::move(tensor.weight), std::move(tensor.scales)});
    size_bytes_ = checked_add(size_bytes_, file->size_bytes());
    files_.push_back(std::move(file));
  }

  std::vector<std::unique_ptr<MappedFile>> files_;
  std::vector<StoredParameter> parameters_;
  std::uint64_t size_bytes_ = 0;
};

}  // namespace

bool has_jax_tensors(const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(),
                     [](const std::string& name) { return parse_file_name(name) || is_unfinished_tensor(name); });
}

std::unique_ptr<TensorSource> open_jax_checkpoint(const std::string& directory, const std::vector<std::string>& names) {
  return std::make_unique<JaxCheckpoint>(directory, names);
}

}  // namespace grok::format
