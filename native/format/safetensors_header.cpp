#include "format/safetensors_header.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>

#include "core/error.h"
#include "core/json.h"
#include "core/printable.h"

namespace grok::format {
namespace {

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
constexpr std::size_t kMaxTensors = 1 << 16;  // Grok-1 has 1,218
constexpr std::size_t kMaxRank = 8;
constexpr const char* kCutShort = "The file is cut short or damaged. Download it again.";

std::string read_bytes(const ByteSource& file, std::uint64_t offset, std::uint64_t size_bytes) {
  std::string text(size_bytes, '\0');
  file.read(offset, std::as_writable_bytes(std::span(text)));
  return text;
}

[[noreturn]] void fail(const std::string& place, const std::string& expected, const std::string& found,
                       const char* hint = "") {
  throw Error(ErrorCode::bad_checkpoint, place + ": expected " + expected + ", found " + found, hint);
}

DType parse_dtype(const std::string& place, const std::string& dtype) {
  if (dtype == "F32") return DType::f32;
  if (dtype == "BF16") return DType::bf16;
  if (dtype == "I8") return DType::i8;
  throw Error(ErrorCode::unsupported, place + ": expected the dtype F32, BF16 or I8, found " + printable(dtype));
}

SafetensorsEntry read_entry(JsonReader& json, const std::string& label, const std::string& name) {
  const std::string place = label + ": " + printable(name);
  SafetensorsEntry entry;
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

std::vector<SafetensorsEntry> read_header(const std::string& text, const std::string& label) {
  if (text.empty() || text[0] != '{') fail(label, "a header that starts with \"{\"", "another");
  JsonReader json(text, label + " header");
  std::vector<SafetensorsEntry> entries;
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

// Sorts the entries by offset. They must cover each byte of the data exactly once.
void check_layout(std::vector<SafetensorsEntry>& entries, const std::string& label, std::uint64_t data_bytes) {
  std::sort(entries.begin(), entries.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t covered = 0;
  for (const SafetensorsEntry& entry : entries) {
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

}  // namespace

std::vector<SafetensorsEntry> read_safetensors_header(const ByteSource& file, std::uint64_t size_bytes,
                                                      const std::string& label) {
  constexpr std::uint64_t kPrefixBytes = 8;  // the size of the header, little-endian
  if (size_bytes < kPrefixBytes) fail(label, "at least 8 bytes", concat(size_bytes));
  const std::string prefix = read_bytes(file, 0, kPrefixBytes);
  std::uint64_t header_bytes = 0;
  for (std::size_t index = kPrefixBytes; index-- > 0;)
    header_bytes = header_bytes << 8 | static_cast<unsigned char>(prefix[index]);
  const std::uint64_t left = size_bytes - kPrefixBytes;
  if (header_bytes > kMaxHeaderBytes || header_bytes > left)
    fail(label, concat("a header of at most ", std::min(kMaxHeaderBytes, left), " bytes"), concat(header_bytes),
         kCutShort);

  std::vector<SafetensorsEntry> entries = read_header(read_bytes(file, kPrefixBytes, header_bytes), label);
  check_layout(entries, label, left - header_bytes);
  for (SafetensorsEntry& entry : entries) {
    entry.view.source = &file;
    entry.view.offset = kPrefixBytes + header_bytes + entry.begin;
  }
  return entries;
}

}  // namespace grok::format
