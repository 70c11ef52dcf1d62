#include "core/json.h"

#include <charconv>
#include <cmath>
#include <unordered_set>
#include <utility>

#include "core/error.h"
#include "core/printable.h"

namespace grok {
namespace {

constexpr int kMaxDepth = 32;
// A safetensors header of Grok-1 has 1,219 members in one object. The reader stores only the keys of open objects.
constexpr std::size_t kMaxOpenMembers = 1 << 17;

bool is_digit(char character) { return character >= '0' && character <= '9'; }

void append_utf8(std::string& out, std::uint32_t code_point) {
  if (code_point < 0x80) {
    out += char(code_point);
  } else if (code_point < 0x800) {
    out += {char(0xC0 | (code_point >> 6)), char(0x80 | (code_point & 0x3F))};
  } else if (code_point < 0x10000) {
    out += {char(0xE0 | (code_point >> 12)), char(0x80 | ((code_point >> 6) & 0x3F)), char(0x80 | (code_point & 0x3F))};
  } else {
    out += {char(0xF0 | (code_point >> 18)), char(0x80 | ((code_point >> 12) & 0x3F)),
            char(0x80 | ((code_point >> 6) & 0x3F)), char(0x80 | (code_point & 0x3F))};
  }
}

// Length of the UTF-8 character at the start of `text`; 0 if there is none. Overlong forms, surrogates and code points
// past U+10FFFF are rejected.
std::size_t utf8_length(std::string_view text) {
  const auto byte_at = [&](std::size_t index) { return static_cast<unsigned char>(text[index]); };
  const unsigned first = byte_at(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  for (std::size_t index = 1; index < length; ++index)
    if ((byte_at(index) & 0xC0) != 0x80) return 0;
  const unsigned second = byte_at(1);
  if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) || (first == 0xF0 && second < 0x90) ||
      (first == 0xF4 && second > 0x8F))
    return 0;
  return length;
}

}  // namespace

JsonReader::JsonReader(std::string_view text, std::string name) : text_(text), name_(std::move(name)) {}

void JsonReader::fail(const std::string& expected) const {
  const bool at_end = position_ >= text_.size();
  const std::string found = at_end ? std::string("the end of the text") : printable(text_.substr(position_, 12));
  throw Error(ErrorCode::bad_checkpoint,
              concat(name_, ": byte ", position_, ": expected ", expected, ", found ", found),
              at_end ? "The text is cut short. Download the file again." : "");
}

void JsonReader::skip_space() {
  while (position_ < text_.size() &&
         (text_[position_] == ' ' || text_[position_] == '\n' || text_[position_] == '\r' || text_[position_] == '\t'))
    ++position_;
}

char JsonReader::peek() {
  skip_space();
  return position_ < text_.size() ? text_[position_] : '\0';
}

JsonKind JsonReader::kind() {
  switch (const char first = peek()) {
    case '{': return JsonKind::object;
    case '[': return JsonKind::array;
    case '"': return JsonKind::string;
    case 't':
    case 'f': return JsonKind::boolean;
    case 'n': return JsonKind::null;
    default: return first == '-' || is_digit(first) ? JsonKind::number : JsonKind::other;
  }
}

void JsonReader::expect(char wanted, const char* what) {
  if (peek() != wanted || position_ >= text_.size()) fail(what);
  ++position_;
}

void JsonReader::enter() {
  if (++depth_ > kMaxDepth) fail(concat("at most ", kMaxDepth, " levels of nesting"));
}

void JsonReader::read_object(const std::function<void(const std::string& key)>& member) {
  expect('{', "an object");
  enter();
  std::unordered_set<std::string> keys;
  if (peek() == '}') {
    ++position_;
  } else {
    for (;;) {
      skip_space();
      const std::size_t key_position = position_;
      std::string key = read_string();
      if (++open_members_ > kMaxOpenMembers) fail(concat("at most ", kMaxOpenMembers, " members"));
      const auto [place, is_new] = keys.insert(std::move(key));
      if (!is_new) {
        position_ = key_position;
        fail("every key once");
      }
      expect(':', "\":\"");
      member(*place);
      if (peek() == '}') {
        ++position_;
        break;
      }
      expect(',', "\",\" or \"}\"");
    }
  }
  open_members_ -= keys.size();
  --depth_;
}

void JsonReader::read_array(const std::function<void()>& element) {
  expect('[', "an array");
  enter();
  if (peek() == ']') {
    ++position_;
  } else {
    for (;;) {
      element();
      if (peek() == ']') {
        ++position_;
        break;
      }
      expect(',', "\",\" or \"]\"");
    }
  }
  --depth_;
}

std::string JsonReader::read_string() {
  expect('"', "a string");
  std::string out;
  for (;;) {
    if (position_ >= text_.size()) fail("the closing quote of a string");
    const char character = text_[position_];
    if (character == '"') {
      ++position_;
      return out;
    }
    if (character == '\\') {
      ++position_;
      append_escape(out);
      continue;
    }
    if (static_cast<unsigned char>(character) < 0x20) fail("no control character in a string");
    const std::size_t length = utf8_length(text_.substr(position_));
    if (length == 0) fail("UTF-8");
    out.append(text_, position_, length);
    position_ += length;
  }
}

void JsonReader::append_escape(std::string& out) {
  if (position_ >= text_.size()) fail("an escape sequence");
  switch (text_[position_]) {
    case '"': out += '"'; break;
    case '\\': out += '\\'; break;
    case '/': out += '/'; break;
    case 'b': out += '\b'; break;
    case 'f': out += '\f'; break;
    case 'n': out += '\n'; break;
    case 'r': out += '\r'; break;
    case 't': out += '\t'; break;
    case 'u': {
      ++position_;
      std::uint32_t code_point = read_hex4();
      if (code_point >= 0xDC00 && code_point < 0xE000) fail("no low surrogate without a high one");
      if (code_point >= 0xD800 && code_point < 0xDC00) {
        if (text_.substr(position_, 2) != "\\u") fail("a low surrogate after a high one");
        position_ += 2;
        const std::uint32_t low = read_hex4();
        if (low < 0xDC00 || low >= 0xE000) fail("a low surrogate after a high one");
        code_point = 0x10000 + ((code_point - 0xD800) << 10) + (low - 0xDC00);
      }
      append_utf8(out, code_point);
      return;
    }
    default: fail("an escape sequence");
  }
  ++position_;
}

std::uint32_t JsonReader::read_hex4() {
  std::uint32_t value = 0;
  const std::string_view digits = text_.substr(position_, 4);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (error != std::errc() || end != digits.data() + 4) fail("four hexadecimal digits");
  position_ += 4;
  return value;
}

// JSON's number grammar is narrower than that of from_chars: no "+1", "01", ".5", "1.", "inf".
std::string_view JsonReader::number_text() {
  skip_space();
  const std::size_t begin = position_;
  std::size_t at = begin;
  const auto skip_digits = [&] {
    const std::size_t first = at;
    while (at < text_.size() && is_digit(text_[at])) ++at;
    return at > first;
  };
  if (at < text_.size() && text_[at] == '-') ++at;
  const bool leading_zero = at < text_.size() && text_[at] == '0';
  const std::size_t integer_begin = at;
  if (!skip_digits()) fail("a number");
  if (leading_zero && at - integer_begin > 1) fail("a number without leading zeros");
  if (at < text_.size() && text_[at] == '.') {
    ++at;
    if (!skip_digits()) fail("a number with digits after the point");
  }
  if (at < text_.size() && (text_[at] == 'e' || text_[at] == 'E')) {
    ++at;
    if (at < text_.size() && (text_[at] == '+' || text_[at] == '-')) ++at;
    if (!skip_digits()) fail("a number with digits in the exponent");
  }
  return text_.substr(begin, at - begin);
}

double JsonReader::read_number() {
  const std::string_view text = number_text();
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) fail("a number in range");
  position_ += text.size();
  return value;
}

std::int64_t JsonReader::read_integer() {
  const std::string_view text = number_text();
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) fail("an integer");
  position_ += text.size();
  return value;
}

std::uint64_t JsonReader::read_size() {
  const std::string_view text = number_text();
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) fail("an integer of 0 or more");
  position_ += text.size();
  return value;
}

void JsonReader::skip_literal(std::string_view literal) {
  if (text_.substr(position_, literal.size()) != literal) fail("a value");
  position_ += literal.size();
}

bool JsonReader::read_bool() {
  const bool value = peek() == 't';
  skip_literal(value ? "true" : "false");
  return value;
}

void JsonReader::skip() {
  switch (peek()) {
    case '{': read_object([&](const std::string&) { skip(); }); break;
    case '[': read_array([&] { skip(); }); break;
    case '"': read_string(); break;
    case 't': skip_literal("true"); break;
    case 'f': skip_literal("false"); break;
    case 'n': skip_literal("null"); break;
    default: position_ += number_text().size();
  }
}

void JsonReader::finish() {
  skip_space();
  if (position_ != text_.size()) fail("the end of the text");
}

}  // namespace grok
