#include "format/safetensors_index.h"

#include <cstddef>
#include <utility>

#include "core/error.h"
#include "core/json.h"
#include "core/printable.h"
#include "format/json_file.h"

namespace grok::format {
namespace {

constexpr std::size_t kMaxBytes = 100'000'000;
constexpr std::size_t kMaxTensors = 1 << 16;  // Grok-1 has 1,218

void check_shard(const std::string& shard, const std::string& path) {
  // A shard must lie beside the index: a name with a path could make grok-run read any file.
  if (!shard.ends_with(".safetensors") || shard.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos)
    throw Error(ErrorCode::bad_checkpoint,
                path + ": expected the name of a .safetensors file beside the index, found " + printable(shard));
}

}  // namespace

SafetensorsIndex parse_safetensors_index(std::string_view text, const std::string& path) {
  JsonReader json(text, path);
  SafetensorsIndex shards;
  json.read_object([&](const std::string& key) {
    if (key != "weight_map") {
      json.skip();
      return;
    }
    json.read_object([&](const std::string& name) {
      if (shards.size() == kMaxTensors) json.fail(concat("at most ", kMaxTensors, " tensors"));
      std::string shard = json.read_string();
      check_shard(shard, path);
      shards.emplace(name, std::move(shard));
    });
  });
  json.finish();
  if (shards.empty())
    throw Error(ErrorCode::bad_checkpoint,
                path + ": expected \"weight_map\" with the shard of every tensor, found none");
  return shards;
}

SafetensorsIndex read_safetensors_index(const std::string& path) {
  return parse_safetensors_index(read_json_file(path, kMaxBytes), path);
}

}  // namespace grok::format
