#include "model/read_config.h"

#include <string>

#include "support/files.h"
#include "support/golden.h"
#include "support/write_checkpoint.h"
#include "testing.h"

using namespace grok;
using namespace grok::model;
using namespace grok::testing;

namespace {

GrokConfig read(const std::string& text) {
  const TempDirectory directory;
  write_file(directory / "config.json", text);
  return read_config(directory / "config.json");
}

// The flat names of Hugging Face, with `more` before the end.
std::string hugging_face(const std::string& more = "") {
  return "{\"vocab_size\": 32, \"hidden_size\": 16, \"intermediate_size\": 24, \"num_hidden_layers\": 2,"
         "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 4, \"num_experts_per_tok\": 2,"
         "\"max_position_embeddings\": 64, \"rope_theta\": 20000, \"max_attn_value\": 25, \"rms_norm_eps\": 1e-6,"
         "\"embedding_multiplier_scale\": 4.0, \"output_multiplier_scale\": 0.5, \"attn_output_multiplier\": 0.25,"
         "\"pad_token_id\": 3, \"bos_token_id\": 4, \"eos_token_id\": 5, \"architectures\": [\"Grok1\"]" +
         more + "}";
}

void check_equal(const GrokConfig& found, const GrokConfig& expected) {
  CHECK_EQ(found.vocab_size, expected.vocab_size);
  CHECK_EQ(found.context_length, expected.context_length);
  CHECK_EQ(found.d_model, expected.d_model);
  CHECK_EQ(found.num_layers, expected.num_layers);
  CHECK_EQ(found.num_q_heads, expected.num_q_heads);
  CHECK_EQ(found.num_kv_heads, expected.num_kv_heads);
  CHECK_EQ(found.head_dim, expected.head_dim);
  CHECK_EQ(found.d_ff, expected.d_ff);
  CHECK_EQ(found.num_experts, expected.num_experts);
  CHECK_EQ(found.experts_per_token, expected.experts_per_token);
  CHECK_EQ(found.embedding_scale, expected.embedding_scale);
  CHECK_EQ(found.logit_scale, expected.logit_scale);
  CHECK_EQ(found.attn_logit_scale, expected.attn_logit_scale);
  CHECK_EQ(found.attn_logit_cap, expected.attn_logit_cap);
  CHECK_EQ(found.rope_base, expected.rope_base);
  CHECK_EQ(found.norm_eps, expected.norm_eps);
  CHECK_EQ(found.pad_id, expected.pad_id);
  CHECK_EQ(found.bos_id, expected.bos_id);
  CHECK_EQ(found.eos_id, expected.eos_id);
}

}  // namespace

TEST("says that the file is missing, too long or not JSON") {
  CHECK_ERROR(read_config("/nowhere/config.json"), ErrorCode::not_found, "/nowhere/config.json");
  CHECK_ERROR(read_config(TempDirectory().path()), ErrorCode::io, "found a directory");
  CHECK_ERROR(read(std::string(2'000'000, ' ')), ErrorCode::bad_checkpoint, "at most 1048576 bytes");
  CHECK_ERROR(read("model: grok"), ErrorCode::bad_checkpoint, "config.json: byte 0: expected an object");
}

TEST("lists every field that is missing, in all the names that it could have") {
  try {
    read("{}");
    CHECK(false);
  } catch (const Error& error) {
    CHECK(error.code == ErrorCode::bad_checkpoint);
    for (const char* line : {"\n  vocab_size is missing", "\n  d_model (emb_size or hidden_size) is missing",
                             "\n  context_length (sequence_len or max_position_embeddings) is missing",
                             "\n  experts_per_token (num_selected_experts or num_experts_per_tok) is missing",
                             "\n  attn_logit_scale (attn_output_multiplier) is missing",
                             "\n  widening_factor, or d_ff (ffn_size or intermediate_size), is missing"})
      if (std::string(error.what()).find(line) == std::string::npos)
        fail(__FILE__, __LINE__, concat(line, " not in ", error.what()));
    CHECK(std::string(error.what()).find("rope_base") == std::string::npos);
  }
}

TEST("refuses numbers of the wrong kind") {
  CHECK_ERROR(read(hugging_face(",\"num_experts\": 2.5")), ErrorCode::bad_checkpoint,
              "num_experts: expected an integer, found 2.5");
  CHECK_ERROR(read(hugging_face(",\"num_experts\": 1e12")), ErrorCode::bad_checkpoint,
              "num_experts: expected an integer");
  CHECK_ERROR(read(hugging_face(",\"num_experts\": \"8\"")), ErrorCode::bad_checkpoint, "expected a number");
  CHECK_ERROR(read(hugging_face(",\"num_experts\": 8, \"widening_factor\": -1")), ErrorCode::bad_checkpoint,
              "widening_factor");
  CHECK_ERROR(read(hugging_face(",\"num_experts\": 8, \"widening_factor\": 1e300")), ErrorCode::bad_checkpoint,
              "widening_factor");
}

TEST("refuses a field that is there under two names with two values") {
  CHECK_ERROR(read(hugging_face(",\"num_experts\": 8, \"num_local_experts\": 4")), ErrorCode::bad_checkpoint,
              "num_local_experts is 4 and num_experts is 8");
  CHECK_ERROR(read(hugging_face(",\"num_experts\": 8, \"widening_factor\": 3")), ErrorCode::bad_checkpoint,
              "widening_factor 3 makes d_ff 32 and intermediate_size is 24");
  CHECK_EQ(read(hugging_face(",\"num_experts\": 8, \"num_local_experts\": 8")).num_experts, 8);
}

TEST("follows xAI's formula for the width of the experts") {
  CHECK_EQ(ffn_size(6144, 8), 32768);
  CHECK_EQ(ffn_size(64, 6.0), 256);
  CHECK_EQ(ffn_size(48, 2.98), 96);  // 143 * 2 / 3 = 95, rounded up
  CHECK_EQ(ffn_size(376, 4.0852), 1024);
}

TEST("reads xAI's field names, also where only the widening factor says how wide experts are") {
  const GrokConfig small = read_config(golden_path("ref-small/config.json"));
  check_equal(small, {.vocab_size = 512,
                      .context_length = 128,
                      .d_model = 64,
                      .num_layers = 3,
                      .num_q_heads = 16,
                      .num_kv_heads = 8,
                      .head_dim = 8,
                      .d_ff = 256,
                      .num_experts = 8,
                      .experts_per_token = 2,
                      .embedding_scale = 8.2787,
                      .logit_scale = 0.5773502691896257,
                      .attn_logit_scale = 0.35355339059327373});
  std::string text = read_file(golden_path("ref-order/config.json"));
  text.erase(text.find(",\n \"derived\""));
  check_equal(read(text + "}"), read_config(golden_path("ref-order/config.json")));
}

TEST("reads Hugging Face's field names") {
  check_equal(read(hugging_face(",\"num_experts\": 8")), {.vocab_size = 32,
                                                          .context_length = 64,
                                                          .d_model = 16,
                                                          .num_layers = 2,
                                                          .num_q_heads = 4,
                                                          .num_kv_heads = 2,
                                                          .head_dim = 4,
                                                          .d_ff = 24,
                                                          .num_experts = 8,
                                                          .experts_per_token = 2,
                                                          .embedding_scale = 4,
                                                          .logit_scale = 0.5,
                                                          .attn_logit_scale = 0.25,
                                                          .attn_logit_cap = 25,
                                                          .rope_base = 20000,
                                                          .norm_eps = 1e-6,
                                                          .pad_id = 3,
                                                          .bos_id = 4,
                                                          .eos_id = 5});
}

TEST("reads back what the checkpoint writer of the tests writes, for widths of all sorts") {
  const TempDirectory directory;
  for (const int d_model : {8, 16, 48, 376, 6144}) {
    for (const int d_ff : {8, 24, 96, 1000, 1024, 32768}) {
      GrokConfig config = tiny_config();
      config.d_model = d_model;
      config.d_ff = d_ff;
      write_config(directory / "config.json", config);
      check_equal(read_config(directory / "config.json"), config);
    }
  }
}

TEST_MAIN()
