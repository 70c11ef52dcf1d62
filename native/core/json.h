#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace grok {

// Kind of a value by its first character. `other`: the end of the text, or no JSON.
enum class JsonKind { object, array, string, number, boolean, null, other };

// A strict reader of JSON that nobody vouches for: config.json and safetensors headers. It hands values over one by
// one and builds no tree, so that what it allocates does not grow with what the text claims. Depth and the number of
// members are bounded, a key may appear once. Every error is bad_checkpoint with the name of the text and the byte
// offset.
class JsonReader {
 public:
  // `name` stands in messages. `text` must outlive the reader.
  JsonReader(std::string_view text, std::string name);

  // `member` must read or skip the value of its key.
  void read_object(const std::function<void(const std::string& key)>& member);
  // `element` must read or skip one value.
  void read_array(const std::function<void()>& element);
  std::string read_string();
  double read_number();         // finite
  std::int64_t read_integer();  // without fraction and exponent
  std::uint64_t read_size();    // an integer of 0 or more
  bool read_bool();
  void skip();    // any one value
  void finish();  // nothing but white space is left

  JsonKind kind();  // of the next value

  [[noreturn]] void fail(const std::string& expected) const;  // at the present place

 private:
  char peek();
  void expect(char wanted, const char* what);
  void skip_space();
  std::string_view number_text();
  void skip_literal(std::string_view literal);
  void append_escape(std::string& out);
  std::uint32_t read_hex4();
  void enter();

  std::string_view text_;
  std::string name_;
  std::size_t position_ = 0;
  int depth_ = 0;
  std::size_t open_members_ = 0;  // of all objects that are being read
};

}  // namespace grok
