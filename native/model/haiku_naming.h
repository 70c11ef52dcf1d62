#pragma once

#include <string>
#include <vector>

#include "model/naming.h"

namespace grok::model {

// The names of xAI's checkpoints: paths of Haiku modules, such as "transformer/decoder_layer_3/moe/linear/w".
const Naming& haiku_naming();

// Names of all parameters in the order of xAI's files: the leaves of the parameter tree, module paths sorted AS STRINGS
// (so layer 10 comes before layer 2). Source: checkpoint.py (tree_flatten sorts dict keys)
std::vector<std::string> haiku_names(int num_layers);

}  // namespace grok::model
