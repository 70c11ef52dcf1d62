#include "model/generation_config.h"

#include <map>
#include <string>

#include "support/files.h"
#include "testing.h"

using namespace grok;
using namespace grok::model;
using namespace grok::testing;

namespace {

GenerationConfig read(const std::string& text) {
  const TempDirectory directory;
  write_file(directory / "generation_config.json", text);
  return read_generation_config(directory / "generation_config.json", 32);
}

}  // namespace

TEST("says that the file is missing, too long or not JSON") {
  CHECK_ERROR(read_generation_config("/nowhere/generation_config.json", 32), ErrorCode::not_found, "/nowhere/");
  CHECK_ERROR(read_generation_config(TempDirectory().path(), 32), ErrorCode::io, "found a directory");
  CHECK_ERROR(read(std::string(2'000'000, ' ')), ErrorCode::bad_checkpoint, "at most 1048576 bytes");
  CHECK_ERROR(read("[]"), ErrorCode::bad_checkpoint, "generation_config.json: byte 0: expected an object");
}

TEST("names file and field of a value of another type") {
  CHECK_ERROR(read(R"({"temperature": "hot"})"), ErrorCode::bad_checkpoint,
              "generation_config.json: byte 16: expected temperature to be a number from 0 to 3.4e+38, found \"\"hot");
  CHECK_ERROR(read(R"({"top_k": [5]})"), ErrorCode::bad_checkpoint,
              "expected top_k to be an integer from 0 to 2147483647");
  CHECK_ERROR(read(R"({"do_sample": 0})"), ErrorCode::bad_checkpoint, "expected do_sample to be true or false");
  CHECK_ERROR(read(R"({"do_sample": truth})"), ErrorCode::bad_checkpoint, "generation_config.json: byte");
  CHECK_ERROR(read(R"({"eos_token_id": "2"})"), ErrorCode::bad_checkpoint, "expected eos_token_id to be a token id");
  CHECK_ERROR(read(R"({"eos_token_id": [2, true]})"), ErrorCode::bad_checkpoint, "expected eos_token_id to be");
}

TEST("names file and field of a value out of range") {
  CHECK_ERROR(read(R"({"temperature": -0.5})"), ErrorCode::bad_checkpoint,
              "generation_config.json: expected temperature to be a number from 0 to 3.4e+38, found -0.5");
  CHECK_ERROR(read(R"({"temperature": 1e300})"), ErrorCode::bad_checkpoint, "temperature");
  CHECK_ERROR(read(R"({"top_p": 1.5})"), ErrorCode::bad_checkpoint, "expected top_p to be a number from 0 to 1");
  CHECK_ERROR(read(R"({"min_p": -1})"), ErrorCode::bad_checkpoint, "expected min_p to be a number from 0 to 1");
  CHECK_ERROR(read(R"({"repetition_penalty": 0})"), ErrorCode::bad_checkpoint,
              "repetition_penalty to be a number from 1e-38");
  CHECK_ERROR(read(R"({"top_k": 2.5})"), ErrorCode::bad_checkpoint,
              "expected top_k to be an integer from 0 to 2147483647");
  CHECK_ERROR(read(R"({"max_new_tokens": 4294967296})"), ErrorCode::bad_checkpoint, "max_new_tokens");
  CHECK_ERROR(read(R"({"eos_token_id": 32})"), ErrorCode::bad_checkpoint, "a token id from 0 to 31, the vocabulary");
  CHECK_ERROR(read(R"({"eos_token_id": [2, -1]})"), ErrorCode::bad_checkpoint, "found -1");
}

TEST("leaves empty all that the file does not say, and ignores null and other fields") {
  for (const char* text : {"{}", R"({"temperature": null, "eos_token_id": null, "do_sample": null})",
                           R"({"pad_token_id": 0, "bos_token_id": "x", "num_beams": [1], "do_sample": true})"}) {
    const GenerationConfig config = read(text);
    CHECK(config.sampling.empty() && !config.max_tokens && config.eos_ids.empty());
  }
}

TEST("reads all fields, with a byte order mark as without") {
  const std::string text = R"({"temperature": 0.6, "top_p": 0.95, "top_k": 50, "min_p": 0.05, "repetition_penalty": 1.1,
    "presence_penalty": -1, "max_new_tokens": 64, "eos_token_id": [2, 7]})";
  for (const char* mark : {"", "\xEF\xBB\xBF"}) {
    const GenerationConfig config = read(mark + text);
    const std::map<std::string, double> sampling = {
        {"temperature", 0.6},        {"top_p", 0.95},         {"top_k", 50}, {"min_p", 0.05},
        {"repetition_penalty", 1.1}, {"presence_penalty", -1}};
    CHECK(config.sampling == sampling);
    CHECK_EQ(config.max_tokens.value(), 64);
    CHECK(config.eos_ids == std::vector<std::int32_t>({2, 7}));
  }
  CHECK(read(R"({"eos_token_id": 5})").eos_ids == std::vector<std::int32_t>({5}));
}

TEST("takes do_sample: false for temperature 0, wherever it stands") {
  CHECK_EQ(read(R"({"do_sample": false})").sampling.at("temperature"), 0.0);
  CHECK_EQ(read(R"({"do_sample": false, "temperature": 0.6})").sampling.at("temperature"), 0.0);
  CHECK_EQ(read(R"({"temperature": 0.6, "do_sample": true})").sampling.at("temperature"), 0.6);
}

TEST_MAIN()
