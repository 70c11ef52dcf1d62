#include "model/generation_config.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "core/error.h"
#include "core/json.h"
#include "format/json_file.h"

namespace grok::model {
namespace {

constexpr std::size_t kMaxBytes = 1 << 20;
constexpr double kMaxInt = std::numeric_limits<std::int32_t>::max();
constexpr double kMaxFloat = std::numeric_limits<float>::max();

struct Range {
  const char* expected;
  double lowest;
  double highest;
  bool is_integer = false;
};

struct RealField {
  const char* name;
  std::optional<double> GenerationConfig::*member;
  Range range;
};

constexpr RealField kRealFields[] = {
    {"temperature", &GenerationConfig::temperature, {"a number of 0 or more", 0, kMaxFloat}},
    {"top_p", &GenerationConfig::top_p, {"a number from 0 to 1", 0, 1}},
    {"min_p", &GenerationConfig::min_p, {"a number from 0 to 1", 0, 1}},
    {"repetition_penalty",
     &GenerationConfig::repetition_penalty,
     {"a number above 0", std::numeric_limits<float>::min(), kMaxFloat}},
};

struct IntField {
  const char* name;
  std::optional<std::int32_t> GenerationConfig::*member;
};

constexpr IntField kIntFields[] = {
    {"top_k", &GenerationConfig::top_k},
    {"max_new_tokens", &GenerationConfig::max_tokens},
};
constexpr Range kCount = {"an integer of 0 or more", 0, kMaxInt, true};

class GenerationConfigReader {
 public:
  GenerationConfigReader(const std::string& path, std::int32_t vocab_size)
      : path_(path), vocab_size_(vocab_size), text_(format::read_json_file(path, kMaxBytes)), json_(text_, path) {}

  GenerationConfig read() {
    json_.read_object([&](const std::string& key) {
      if (json_.kind() == JsonKind::null)
        json_.skip();
      else
        read_field(key);
    });
    json_.finish();
    if (is_greedy_) config_.temperature = 0;
    return config_;
  }

 private:
  void read_field(const std::string& key) {
    const auto is_named = [&](const auto& field) { return key == field.name; };
    if (const auto* real = std::find_if(std::begin(kRealFields), std::end(kRealFields), is_named);
        real != std::end(kRealFields)) {
      config_.*real->member = number(key, real->range);
    } else if (const auto* integer = std::find_if(std::begin(kIntFields), std::end(kIntFields), is_named);
               integer != std::end(kIntFields)) {
      config_.*integer->member = std::int32_t(number(key, kCount));
    } else if (key == "do_sample") {
      if (json_.kind() != JsonKind::boolean) json_.fail("do_sample to be true or false");
      is_greedy_ = !json_.read_bool();
    } else if (key == "eos_token_id") {
      if (json_.kind() == JsonKind::array)
        json_.read_array([&] { config_.eos_ids.push_back(token_id(key)); });
      else
        config_.eos_ids.push_back(token_id(key));
    } else {
      json_.skip();
    }
  }

  double number(const std::string& key, const Range& range) {
    const std::string expected = key + " to be " + range.expected;
    if (json_.kind() != JsonKind::number) json_.fail(expected);
    const double value = json_.read_number();
    if (value >= range.lowest && value <= range.highest && (!range.is_integer || value == std::floor(value)))
      return value;
    throw Error(ErrorCode::bad_checkpoint, concat(path_, ": expected ", expected, ", found ", value));
  }

  std::int32_t token_id(const std::string& key) {
    const std::string expected =
        concat("a token id from 0 to ", vocab_size_ - 1, ", the vocabulary, or a list of them");
    return std::int32_t(number(key, {expected.c_str(), 0, double(vocab_size_ - 1), true}));
  }

  std::string path_;
  std::int32_t vocab_size_;
  std::string text_;
  JsonReader json_;
  GenerationConfig config_;
  bool is_greedy_ = false;
};

}  // namespace

GenerationConfig read_generation_config(const std::string& path, std::int32_t vocab_size) {
  return GenerationConfigReader(path, vocab_size).read();
}

}  // namespace grok::model
