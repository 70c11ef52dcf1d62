#include "format/safetensors.h"

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "format/jax_checkpoint.h"
#include "model/haiku_naming.h"
#include "support/allocation_peak.h"
#include "support/files.h"
#include "support/write_checkpoint.h"
#include "testing.h"

using namespace grok;
using namespace grok::format;
using namespace grok::testing;

namespace {

namespace fs = std::filesystem;

std::string with_header(const std::string& header, const std::string& data = "") {
  const std::uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + header + data;
}

// Opens a file of these bytes.
std::unique_ptr<TensorSource> open_bytes(const std::string& bytes) {
  const TempDirectory directory;  // an open file outlives its name
  write_file(directory / "a.safetensors", bytes);
  return open_safetensors(directory / "a.safetensors");
}

std::unique_ptr<TensorSource> open_header(const std::string& header, const std::string& data = "") {
  return open_bytes(with_header(header, data));
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

std::string content_of(const TensorView& view) {
  std::string content(view.size_bytes(), '\0');
  view.read(0, std::as_writable_bytes(std::span(content)));
  return content;
}

// The same tensors as a ckpt-0 directory of the same seed, to the byte.
void check_same_as_jax(const TensorSource& source, const model::GrokConfig& config, std::uint64_t seed) {
  const TempDirectory directory;
  write_jax_checkpoint(directory.path(), config, Numpy::v1, seed);
  const auto jax = open_jax_checkpoint(directory / "ckpt-0", model::haiku_names(config.num_layers));
  CHECK_EQ(source.parameters().size(), jax->parameters().size());
  for (const StoredParameter& expected : jax->parameters()) {
    const StoredParameter* found = source.find(expected.name);
    if (!found) {
      fail(__FILE__, __LINE__, "no " + expected.name);
      continue;
    }
    CHECK(found->weight.dtype == expected.weight.dtype);
    CHECK(found->weight.shape == expected.weight.shape);
    CHECK(content_of(found->weight) == content_of(expected.weight));
    CHECK_EQ(found->scales.has_value(), expected.scales.has_value());
    if (found->scales && expected.scales) {
      CHECK(found->scales->shape == expected.scales->shape);
      CHECK(content_of(*found->scales) == content_of(*expected.scales));
    }
  }
}

}  // namespace

TEST("says that a file is missing or that a directory holds no checkpoint") {
  const TempDirectory directory;
  CHECK_ERROR(open_safetensors(directory / "none.safetensors"), ErrorCode::not_found, "none.safetensors");
  CHECK_ERROR(open_safetensors(directory.path()), ErrorCode::not_found, "model.safetensors.index.json: no such file");
}

TEST("refuses headers that are cut short, too long, or no object") {
  CHECK_ERROR(open_bytes(std::string(7, '\1')), ErrorCode::bad_checkpoint, "at least 8 bytes");
  CHECK_ERROR(open_bytes(std::string(8, '\xff')), ErrorCode::bad_checkpoint, "a header of at most 0 bytes");
  CHECK_ERROR(open_bytes(with_header("{}").substr(0, 9)), ErrorCode::bad_checkpoint,
              "a header of at most 1 bytes, found 2");
  CHECK_ERROR(open_header(""), ErrorCode::bad_checkpoint, "a header that starts with \"{\"");
  CHECK_ERROR(open_header(" {}"), ErrorCode::bad_checkpoint, "a header that starts with \"{\"");
  CHECK_ERROR(open_header("{}x"), ErrorCode::bad_checkpoint, "the end of the text");
}

TEST("refuses a header of more than 100 MB before reading it") {
  const TempDirectory directory;
  {
    OutputFile file(directory / "a.safetensors");
    const std::uint64_t size = 100'000'001;
    file.write(std::as_bytes(std::span(&size, 1)));
    file.skip(200'000'000);
  }
  const AllocationPeak peak;
  CHECK_ERROR(open_safetensors(directory / "a.safetensors"), ErrorCode::bad_checkpoint, "at most 100000000 bytes");
  CHECK(peak.bytes() < 64 * 1024);
}

TEST("refuses holes, overlaps, bytes left over, and sizes that are not their shapes'") {
  const std::string four(4, 'x'), eight(8, 'x');
  const auto one = [](const std::string& shape, const std::string& offsets) {
    return "{" + entry("a", "F32", shape, offsets) + "}";
  };
  CHECK_ERROR(open_header(one("[1]", "[0,8]"), eight), ErrorCode::bad_checkpoint,
              "expected 4 bytes for f32 [1], found 8");
  CHECK_ERROR(open_header(one("[1]", "[4,8]"), eight), ErrorCode::bad_checkpoint, "data from byte 0, found from 4");
  CHECK_ERROR(open_header(one("[1]", "[0,4]"), eight), ErrorCode::bad_checkpoint, "expected 4 bytes of data, found 8");
  CHECK_ERROR(open_header(one("[2]", "[0,8]"), four), ErrorCode::bad_checkpoint, "within the 4 bytes");
  CHECK_ERROR(open_header(one("[2]", "[0,18446744073709551615]"), four), ErrorCode::bad_checkpoint,
              "within the 4 bytes");
  CHECK_ERROR(
      open_header("{" + entry("a", "F32", "[1]", "[0,4]") + "," + entry("b", "F32", "[1]", "[0,4]") + "}", eight),
      ErrorCode::bad_checkpoint, "\"b\": expected data from byte 4, found from 0");
  CHECK_ERROR(
      open_header("{" + entry("a", "F32", "[1]", "[0,4]") + "," + entry("b", "F32", "[1]", "[4,3]") + "}", four),
      ErrorCode::bad_checkpoint, "\"b\"");
  CHECK_ERROR(open_header(one("[4294967296,4294967296]", "[0,4]"), four), ErrorCode::bad_checkpoint, "exceeds 64 bits");
  CHECK_ERROR(open_header(one("[1,1,1,1,1,1,1,1,1]", "[0,4]"), four), ErrorCode::bad_checkpoint, "at most 8 axes");
  CHECK_ERROR(open_header(one("[-1]", "[0,4]"), four), ErrorCode::bad_checkpoint, "an integer of 0 or more");
  CHECK_ERROR(open_header(one("[1]", "[0,4,8]"), four), ErrorCode::bad_checkpoint, "two offsets");
  CHECK_ERROR(open_header(one("[1]", "[0]"), four), ErrorCode::bad_checkpoint, "two data_offsets");
}

TEST("refuses fields it does not know, tensors given twice and other dtypes") {
  CHECK_ERROR(open_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"code\":1}}", "xxxx"),
              ErrorCode::bad_checkpoint, "found \"code\"");
  CHECK_ERROR(
      open_header("{" + entry("a", "F32", "[1]", "[0,4]") + "," + entry("a", "F32", "[1]", "[4,8]") + "}", "xxxxxxxx"),
      ErrorCode::bad_checkpoint, "every key once");
  CHECK_ERROR(open_header("{" + entry("a", "F16", "[2]", "[0,4]") + "}", "xxxx"), ErrorCode::unsupported,
              "\"a\": expected the dtype F32, BF16 or I8, found \"F16\"");
  CHECK_ERROR(open_header("{\"__metadata__\":{\"a\":1}}"), ErrorCode::bad_checkpoint, "a string");
}

TEST("refuses scales without a weight, and a weight under two names") {
  CHECK_ERROR(open_header("{" + entry("a.scales", "BF16", "[1]", "[0,2]") + "}", "xx"), ErrorCode::bad_checkpoint,
              "scales of \"a\" without its weight");
  CHECK_ERROR(open_header("{" + entry("a", "I8", "[1]", "[0,1]") + "," + entry("a.weight", "I8", "[1]", "[1,2]") + "," +
                              entry("a.scales", "BF16", "[1]", "[2,4]") + "}",
                          "xxxx"),
              ErrorCode::bad_checkpoint, "weight of \"a\" twice");
  CHECK_ERROR(open_header("{" + entry("a", "I8", "[1]", "[0,1]") + "," + entry("a/scales", "BF16", "[1]", "[1,3]") +
                              "," + entry("a.scales", "BF16", "[1]", "[3,5]") + "}",
                          "xxxxx"),
              ErrorCode::bad_checkpoint, "scales of \"a\" twice");
}

TEST("refuses a header that would take more memory than its file is worth") {
  std::string header = "{";
  std::uint64_t offset = 0;
  for (int index = 0; index < 70'000; ++index) {
    header += (index ? "," : "") + entry(std::to_string(index), "I8", "[1]", concat("[", offset, ",", offset + 1, "]"));
    ++offset;
  }
  CHECK_ERROR(open_header(header + "}", std::string(offset, 'x')), ErrorCode::bad_checkpoint, "at most 65536 tensors");
}

TEST("lets no shard lie outside the directory of its index") {
  for (const char* shard : {"../a.safetensors", "/etc/a.safetensors", "sub/a.safetensors", "..\\\\a.safetensors",
                            "a\\u0000.safetensors", "passwd", ""}) {
    const TempDirectory directory;
    write_file(directory / "model.safetensors.index.json", concat("{\"weight_map\":{\"a\":\"", shard, "\"}}"));
    CHECK_ERROR(open_safetensors(directory.path()), ErrorCode::bad_checkpoint, "beside the index");
  }
}

TEST("says which shards are missing and which tensors lie elsewhere than the index says") {
  const TempDirectory directory;
  write_safetensors(directory.path(), tiny_config(), 1, 3);
  fs::remove(directory / "model-00002-of-00003.safetensors");
  CHECK_ERROR(open_safetensors(directory.path()), ErrorCode::not_found,
              "model-00002-of-00003.safetensors: no such file");

  fs::copy(directory / "model-00001-of-00003.safetensors", directory / "model-00002-of-00003.safetensors");
  CHECK_ERROR(open_safetensors(directory.path()), ErrorCode::bad_checkpoint, "in one file, found it also in");

  write_file(directory / "model.safetensors.index.json", "{\"weight_map\":{}}");
  CHECK_ERROR(open_safetensors(directory.path()), ErrorCode::bad_checkpoint, "\"weight_map\"");
}

TEST("refuses a small file cut short anywhere") {
  const TempDirectory directory;
  model::GrokConfig config = tiny_config();
  config.num_layers = 1;
  write_safetensors(directory.path(), config);
  const std::string whole = read_file(directory / "model.safetensors");
  int num_refused = 0;
  for (std::size_t length = 0; length < whole.size(); length += 7) {
    const AllocationPeak peak;
    try {
      open_bytes(whole.substr(0, length));
      fail(__FILE__, __LINE__, concat("cut at ", length, ": opened"));
    } catch (const Error& error) {
      num_refused += error.code == ErrorCode::bad_checkpoint;
    }
    CHECK(peak.bytes() < 2 * length + whole.size() + 64 * 1024);
  }
  CHECK_EQ(num_refused, int((whole.size() + 6) / 7));
}

TEST("crashes at no change of a byte of a small header") {
  const std::string whole = with_header("{\"__metadata__\":{\"b\":\"c\"}," + entry("a", "I8", "[2,1]", "[0,2]") + "," +
                                            entry("a.scales", "BF16", "[1,1]", "[2,4]") + "}",
                                        "wwss");
  int num_refused = 0;
  for (std::size_t position = 0; position < whole.size() - 4; ++position) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = whole;
      damaged[position] = char(damaged[position] ^ (1 << bit));
      try {
        open_bytes(damaged);
      } catch (const Error& error) {
        ++num_refused;
        CHECK(error.code == ErrorCode::bad_checkpoint || error.code == ErrorCode::unsupported);
      }
    }
  }
  CHECK(num_refused > 1000);
}

TEST("pairs weights with their scales under each of the names") {
  for (const auto& [weight, scales] : std::vector<std::pair<std::string, std::string>>{
           {"m/w", "m/w.scales"}, {"m/w", "m/w/scales"}, {"m/w.weight", "m/w.scales"}, {"m/w/weight", "m/w/scales"}}) {
    const auto source =
        open_header("{" + entry(weight, "I8", "[2,1]", "[0,2]") + "," + entry(scales, "BF16", "[1,1]", "[2,4]") + "," +
                        entry("rms_norm/scale", "F32", "[1]", "[4,8]") + "}   ",
                    "wwssnnnn");
    CHECK_EQ(source->parameters().size(), 2u);
    const StoredParameter* parameter = source->find("m/w");
    CHECK(parameter && parameter->scales);
    if (!parameter || !parameter->scales) continue;
    CHECK_EQ(content_of(parameter->weight), "ww");
    CHECK_EQ(content_of(*parameter->scales), "ss");
    CHECK_EQ(content_of(source->find("rms_norm/scale")->weight), "nnnn");
  }
}

TEST("reads the same tensors from one file and from shards as from ckpt-0") {
  const model::GrokConfig config = tiny_config();
  for (const std::size_t num_shards : {std::size_t(1), std::size_t(4)}) {
    const TempDirectory directory;
    write_safetensors(directory.path(), config, 5, num_shards);
    const auto source = open_safetensors(directory.path());
    CHECK_EQ(source->description(), num_shards == 1 ? "safetensors (1 file)" : "safetensors (4 files)");
    check_same_as_jax(*source, config, 5);
  }
}

TEST_MAIN()
