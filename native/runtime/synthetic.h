#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "format/tensor_source.h"
#include "model/config.h"

// Networks whose weights are computed while they are read: to measure speed at any size without a checkpoint.
namespace grok::runtime {

// A named shape, or the path of a config.json; `num_layers` replaces its own unless it is 0.
//
//   tiny    2 layers, d_model 256
//   mid     6 layers of a quarter of Grok-1's widths
//   slice   2 layers of Grok-1's full width, a vocabulary of 8192
//   grok1   Grok-1 itself
//
// Throws invalid_argument for any other name, and the errors of read_config.
model::GrokConfig synthetic_shape(const std::string& name_or_path, int num_layers);

// The part of a network that one of `num_shards` devices computes if they share it as xAI's code does. It has some of
// the heads, some columns of every expert, and part of the vocabulary. Norms and router are whole. Throws
// invalid_argument if a size is not divisible.
model::GrokConfig shard_of(const model::GrokConfig& config, int num_shards);

// xAI divided attention-out and the experts' down along their input over 8 devices, each with its own scales.
inline constexpr int kScaleGroups = 8;

// Any part of any weight can be read separately, from any thread: a value is a hash of seed, parameter and position.
// int8 weights are uniform in -127 .. 127 (0 twice as likely). Their scales make a product about as large as its
// normalised input. Norms are 1. The router is wide enough that different tokens choose different experts.
// `num_scale_groups` applies to attention-out and down; it is 1 if it does not divide their input.
std::unique_ptr<format::TensorSource> make_synthetic_source(const model::GrokConfig& config, std::uint64_t seed,
                                                            int num_scale_groups = kScaleGroups);

}  // namespace grok::runtime
