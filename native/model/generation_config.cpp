#include "model/generation_config.h"

#include <cmath>
#include <type_traits>

#include "backend/backend.h"
#include "core/error.h"
#include "core/json.h"
#include "format/json_file.h"

namespace grok::model {
namespace {

constexpr std::size_t kMaxBytes = 1 << 20;
constexpr SamplingParams kSampling;  // for the names and ranges of its options

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
    if (is_greedy_) config_.sampling["temperature"] = 0;
    return config_;
  }

 private:
  void read_field(const std::string& key) {
    bool is_option = false;
    for_each_option(kSampling, [&](const auto& option, auto) {
      if (key != option.name) return;
      is_option = true;
      config_.sampling[key] = number(key, option.smallest, option.largest);
    });
    if (is_option) return;
    if (key == "max_new_tokens") {
      config_.max_tokens = std::int32_t(number(key, std::int32_t(0), kMostInt32));
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

  template <typename Value>
  double number(const std::string& key, Value smallest, Value largest) {
    constexpr bool kIsInteger = std::is_integral_v<Value>;
    const std::string range = concat(kIsInteger ? "an integer" : "a number", " from ", smallest, " to ", largest);
    return number_in(concat(key, " to be ", range), smallest, largest, kIsInteger);
  }

  std::int32_t token_id(const std::string& key) {
    const std::string expected =
        concat(key, " to be a token id from 0 to ", vocab_size_ - 1, ", the vocabulary, or a list of them");
    return std::int32_t(number_in(expected, 0, vocab_size_ - 1, true));
  }

  double number_in(const std::string& expected, double smallest, double largest, bool is_integer) {
    if (json_.kind() != JsonKind::number) json_.fail(expected);
    const double value = json_.read_number();
    if (value >= smallest && value <= largest && (!is_integer || value == std::floor(value))) return value;
    throw Error(ErrorCode::bad_checkpoint, concat(path_, ": expected ", expected, ", found ", value));
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
