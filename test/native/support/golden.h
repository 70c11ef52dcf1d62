#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "core/json.h"

#include "testing.h"

namespace grok::testing {

// golden.safetensors as xAI's own code left it: float32, int32 and byte tensors by name. Trusted, unlike a user's file.
class Golden {
 public:
  explicit Golden(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Error(ErrorCode::not_found, concat("the golden ", path, " is missing"));
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
    std::uint64_t header_bytes;
    std::memcpy(&header_bytes, bytes_.data(), sizeof header_bytes);
    data_start_ = sizeof header_bytes + header_bytes;

    JsonReader json(std::string_view(bytes_).substr(sizeof header_bytes, header_bytes), path);
    json.read_object([&](const std::string& name) {
      if (name == "__metadata__") return json.skip();
      Entry entry;
      json.read_object([&](const std::string& key) {
        if (key == "shape") return json.read_array([&] { entry.shape.push_back(json.read_size()); });
        if (key != "data_offsets") return json.skip();
        std::vector<std::uint64_t> offsets;
        json.read_array([&] { offsets.push_back(json.read_size()); });
        entry.start = offsets.at(0);
        entry.end = offsets.at(1);
      });
      entries_[name] = entry;
    });
  }

  bool has(const std::string& name) const { return entries_.contains(name); }
  const std::vector<std::uint64_t>& shape(const std::string& name) const { return entry(name).shape; }
  std::vector<float> floats(const std::string& name) const { return values<float>(name); }
  std::vector<std::int32_t> ints(const std::string& name) const { return values<std::int32_t>(name); }
  std::vector<std::uint8_t> bytes(const std::string& name) const { return values<std::uint8_t>(name); }

 private:
  struct Entry {
    std::vector<std::uint64_t> shape;
    std::uint64_t start = 0, end = 0;
  };

  const Entry& entry(const std::string& name) const {
    const auto found = entries_.find(name);
    if (found == entries_.end()) throw Error(ErrorCode::not_found, concat("no golden tensor ", name));
    return found->second;
  }

  template <typename T>
  std::vector<T> values(const std::string& name) const {
    const Entry& found = entry(name);
    std::vector<T> out((found.end - found.start) / sizeof(T));
    std::memcpy(out.data(), bytes_.data() + data_start_ + found.start, out.size() * sizeof(T));
    return out;
  }

  std::string bytes_;
  std::uint64_t data_start_ = 0;
  std::map<std::string, Entry> entries_;
};

inline std::string golden_path(const std::string& relative) {
  return concat(GROK_PROJECT_DIR, "/test/fixtures/golden/", relative);
}

}  // namespace grok::testing
