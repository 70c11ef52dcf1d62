#pragma once

#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "core/error.h"

// The command line of bench_ops.
namespace grok::bench {

struct Request {
  std::string device = "cpu";
  std::vector<std::string> shapes = {"tiny", "mid", "slice"};
  int num_layers = 1;
  int num_shards = 1;
  int num_threads = 0;
  std::string isa = {};
  std::vector<int> num_tokens = {1, 8, 128};
  std::vector<int> num_sequences = {1};
  std::vector<int> contexts = {128};  // tokens of each sequence in the cache before the step
  KvCacheType kv_cache_type = KvCacheType::f32;
  int reps = 5;
  bool launches_overlap = true;
  int probe_gib = 0;  // 0: no probe
  std::string json = {};
};

inline std::vector<std::string> parts_of(std::string_view list) {
  std::vector<std::string> parts;
  for (std::size_t comma; (comma = list.find(',')) != std::string_view::npos; list.remove_prefix(comma + 1))
    parts.emplace_back(list.substr(0, comma));
  parts.emplace_back(list);
  return parts;
}

inline int whole_number(std::string_view option, std::string_view text, int least = 1) {
  constexpr int kMost = 1 << 20;
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > kMost)
    throw Error(ErrorCode::invalid_argument,
                concat(option, ": expected a number from ", least, " to ", kMost, ", found \"", text, "\""));
  return value;
}

inline KvCacheType kv_cache_type(std::string_view name) {
  for (const KvCacheType type : {KvCacheType::f32, KvCacheType::bf16, KvCacheType::int8})
    if (name == name_of(type)) return type;
  throw Error(ErrorCode::invalid_argument, concat("--kv-cache-type: expected f32, bf16 or int8, found \"", name, "\""));
}

inline Request parse(int argc, char** argv) {
  Request request;
  for (int index = 1; index < argc; index += 2) {
    const std::string_view option = argv[index];
    if (index + 1 == argc) throw Error(ErrorCode::invalid_argument, concat(option, ": expected a value, found none"));
    const std::string_view value = argv[index + 1];
    if (option == "--device") {
      request.device = value;
    } else if (option == "--shape") {
      request.shapes = parts_of(value);
    } else if (option == "--layers") {
      request.num_layers = whole_number(option, value);
    } else if (option == "--shards") {
      request.num_shards = whole_number(option, value);
    } else if (option == "--threads") {
      request.num_threads = whole_number(option, value);
    } else if (option == "--isa") {
      request.isa = value;
    } else if (option == "--tokens") {
      request.num_tokens.clear();
      for (const std::string& part : parts_of(value)) request.num_tokens.push_back(whole_number(option, part));
    } else if (option == "--sequences") {
      request.num_sequences.clear();
      for (const std::string& part : parts_of(value)) request.num_sequences.push_back(whole_number(option, part));
    } else if (option == "--context") {
      request.contexts.clear();
      for (const std::string& part : parts_of(value)) request.contexts.push_back(whole_number(option, part, 0));
    } else if (option == "--kv-cache-type") {
      request.kv_cache_type = kv_cache_type(value);
    } else if (option == "--reps") {
      request.reps = whole_number(option, value);
    } else if (option == "--overlap") {
      if (value != "yes" && value != "no")
        throw Error(ErrorCode::invalid_argument, concat("--overlap: expected yes or no, found \"", value, "\""));
      request.launches_overlap = value == "yes";
    } else if (option == "--probe") {
      request.probe_gib = whole_number(option, value);
    } else if (option == "--json") {
      request.json = value;
    } else {
      throw Error(ErrorCode::invalid_argument,
                  concat("unknown option ", option,
                         ": expected --device, --shape, --layers, --shards, --threads, --isa, "
                         "--tokens, --sequences, --context, --kv-cache-type, --reps, --overlap, --probe or --json"));
    }
  }
  return request;
}

}  // namespace grok::bench
