#include "model/haiku_naming.h"

#include <set>
#include <string>
#include <vector>

#include "support/write_checkpoint.h"
#include "testing.h"

using namespace grok;
using namespace grok::model;
using namespace grok::testing;

TEST("finds no parameter in names that are nearly right") {
  for (const char* name :
       {"", "router/w", "transformer/decoder_layer_", "transformer/decoder_layer_/router/w",
        "transformer/decoder_layer_1router/w", "transformer/decoder_layer_1//router/w",
        "transformer/decoder_layer_01/router/w", "transformer/decoder_layer_-1/router/w",
        "transformer/decoder_layer_+1/router/w", "transformer/decoder_layer_1/router/w/",
        "transformer/decoder_layer_1/language_model/rms_norm/scale",
        "transformer/decoder_layer_-1/language_model/rms_norm/scale", "transformer/decoder_layer_1000000/router/w",
        "transformer/decoder_layer_99999999999999999999/router/w"})
    if (haiku_naming().id_of(name)) fail(__FILE__, __LINE__, name);
}

TEST("finds every parameter by its name") {
  std::set<std::string> names;
  for (const ParamId id : all_params(12)) {
    const std::string name = haiku_naming().name_of(id);
    CHECK(haiku_naming().id_of(name) == id);
    names.insert(name);
  }
  CHECK_EQ(names.size(), 2u + 12 * 12);
  CHECK_EQ(haiku_naming().name_of({Param::w_up, 3}), "transformer/decoder_layer_3/moe/linear_v/w");
}

TEST("names parameters in the order of xAI's files: layer 10 comes before layer 2") {
  CHECK_EQ(haiku_names(64).size(), 770u);
  for (const int num_layers : {1, 2, 3, 9, 10, 11, 12, 64, 101}) {
    GrokConfig config = tiny_config();
    config.num_layers = num_layers;
    std::vector<std::string> expected;
    for (const ParameterToWrite& parameter : parameters_to_write(config)) expected.push_back(parameter.name);
    CHECK(haiku_names(num_layers) == expected);
  }
  // Known places in the released checkpoint.
  const std::vector<std::string> names = haiku_names(64);
  CHECK_EQ(names[0], "language_model/in_out_embed/embeddings");
  CHECK_EQ(names[1], "language_model/rms_norm/scale");
  CHECK_EQ(names[2], "transformer/decoder_layer_0/moe/linear/w");
  CHECK_EQ(names[4], "transformer/decoder_layer_0/moe/linear_v/w");
  CHECK_EQ(names[26], "transformer/decoder_layer_10/moe/linear/w");
  CHECK_EQ(names[146], "transformer/decoder_layer_2/moe/linear/w");
  CHECK_EQ(names[722], "transformer/decoder_layer_63/moe/linear/w");
  CHECK_EQ(names[769], "transformer/decoder_layer_9/router/w");
}

TEST_MAIN()
