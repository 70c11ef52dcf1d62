#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace grok {

// Kind of a value, from its first character. `other`: the end of the text, or no JSON.
enum class JsonKind { object, array, string, number, boolean, null, other };

// A strict reader of untrusted JSON: config.json and safetensors headers. It passes values on one by one and builds no
// tree, so its memory does not grow with the values. Depth and the number of members are bounded; duplicate keys are
// refused. Every error is bad_checkpoint with the name of the text and the byte offset.
class JsonReader {
 public:
  // `name` appears in messages. `text` must outlive the reader.
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
  void finish();  // requires that only white space remains

  JsonKind kind();  // of the next value

  [[noreturn]] void fail(const std::string& expected) const;  // reports the current position

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
  std::size_t open_members_ = 0;  // of all open objects
};

}  // namespace grok
