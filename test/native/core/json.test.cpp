#include "core/json.h"

#include <string>
#include <vector>

#include "testing.h"

using namespace grok;

namespace {

void skip_all(const std::string& text) {
  JsonReader json(text, "a.json");
  json.skip();
  json.finish();
}

std::string string_of(const std::string& text) {
  JsonReader json(text, "a.json");
  std::string value = json.read_string();
  json.finish();
  return value;
}

double number_of(const std::string& text) {
  JsonReader json(text, "a.json");
  const double value = json.read_number();
  json.finish();
  return value;
}

}  // namespace

TEST("names the text and the byte where something is wrong") {
  CHECK_ERROR(skip_all("{\"a\": }"), ErrorCode::bad_checkpoint, "a.json: byte 6: expected a number, found \"}\"");
  CHECK_ERROR(skip_all("[1, 2"), ErrorCode::bad_checkpoint, "byte 5");
}

TEST("refuses texts that are not JSON") {
  for (const char* text : {"",         " ",          "{",       "[",    "\"",    "{]",    "[}",       "{\"a\"}",
                           "{\"a\":}", "{\"a\":1,}", "{1:2}",   "[1,]", "[,1]",  "[1 2]", "nul",      "True",
                           "1 2",      "{} {}",      "// a\n1", "'a'",  "{a:1}", "NaN",   "Infinity", "-"})
    CHECK_ERROR(skip_all(text), ErrorCode::bad_checkpoint, "a.json: byte ");
}

TEST("refuses numbers that JSON does not know and numbers that are not finite") {
  for (const char* text : {"01", "+1", ".5", "1.", "1e", "1e+", "0x10", "--1", "1e999", "-1e999"})
    CHECK_ERROR(number_of(text), ErrorCode::bad_checkpoint, "byte");
  const std::string too_big = "18446744073709551616";
  CHECK_ERROR(JsonReader(too_big, "a.json").read_size(), ErrorCode::bad_checkpoint, "an integer of 0 or more");
  CHECK_ERROR(JsonReader("-1", "a.json").read_size(), ErrorCode::bad_checkpoint, "an integer of 0 or more");
  CHECK_ERROR(JsonReader("1.0", "a.json").read_size(), ErrorCode::bad_checkpoint, "an integer of 0 or more");
  CHECK_ERROR(JsonReader("9223372036854775808", "a.json").read_integer(), ErrorCode::bad_checkpoint, "an integer");
}

TEST("refuses strings with bad escapes, control characters or bytes that are not UTF-8") {
  for (const char* text :
       {"\"\\x\"", "\"\\u12\"", "\"\\u12G4\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"a\nb\"",
        "\"\x01\"", "\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe2\x82\""})
    CHECK_ERROR(string_of(text), ErrorCode::bad_checkpoint, "byte");
}

TEST("refuses a key that comes twice, however it is spelled") {
  CHECK_ERROR(skip_all("{\"a\":1,\"b\":2,\"\\u0061\":3}"), ErrorCode::bad_checkpoint,
              "byte 13: expected every key once");
}

TEST("refuses nesting that would exhaust the stack") {
  CHECK_ERROR(skip_all(std::string(1'000'000, '[')), ErrorCode::bad_checkpoint, "at most 32 levels");
  std::string objects;
  for (int depth = 0; depth < 1000; ++depth) objects += "{\"a\":";
  CHECK_ERROR(skip_all(objects), ErrorCode::bad_checkpoint, "at most 32 levels");
}

TEST("refuses more members than any header has") {
  std::string text = "{";
  for (int member = 0; member < 140'000; ++member) text += "\"" + std::to_string(member) + "\":0,";
  CHECK_ERROR(skip_all(text), ErrorCode::bad_checkpoint, "at most 131072 members");
}

TEST("keeps a hostile text from writing to the terminal") {
  CHECK_ERROR(skip_all("\x1b[2J"), ErrorCode::bad_checkpoint, "\\x1b[2J");
}

TEST("reads numbers to the last bit") {
  CHECK_EQ(number_of("78.38367176906169"), 78.38367176906169);
  CHECK_EQ(number_of("-0"), 0.0);
  CHECK_EQ(number_of("1E-5"), 1e-5);
  CHECK_EQ(JsonReader("18446744073709551615", "a.json").read_size(), 18446744073709551615u);
  CHECK_EQ(JsonReader("-9223372036854775808", "a.json").read_integer(), INT64_MIN);
}

TEST("reads escapes and UTF-8") {
  CHECK_EQ(string_of("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\""),
           "a\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80");
  CHECK_EQ(string_of("\"\xe2\x82\xac\""), "\xe2\x82\xac");
}

TEST("hands over members and elements in order") {
  const std::string text = " { \"a\" : [ 1 , 2 ] , \"b\" : { } , \"c\" : null, \"d\": [] } ";
  JsonReader json(text, "a.json");
  std::string keys;
  std::vector<std::int64_t> elements;
  json.read_object([&](const std::string& key) {
    keys += key;
    if (key == "a") {
      json.read_array([&] { elements.push_back(json.read_integer()); });
    } else {
      CHECK_EQ(json.kind() == JsonKind::object, key == "b");
      json.skip();
    }
  });
  json.finish();
  CHECK_EQ(keys, "abcd");
  CHECK(elements == std::vector<std::int64_t>({1, 2}));
}

TEST_MAIN()
