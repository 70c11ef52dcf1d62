#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "format/tensor_source.h"
#include "model/config.h"

// Networks whose weights are made up in memory while they are read: to measure speed at any size without a checkpoint.
namespace grok::runtime {

// A named shape, or the path of a config.json; `num_layers` replaces its own unless it is 0.
//
//   tiny    2 layers, d_model 256
//   mid     6 layers of a quarter of Grok-1's widths
//   slice   2 layers of Grok-1's full width, a vocabulary of 8192
//   grok1   Grok-1 itself
//
// Throws invalid_argument for a name that is neither, and what read_config throws.
model::GrokConfig synthetic_shape(const std::string& name_or_path, int num_layers);

// What one of `num_shards` devices computes when they share a network as xAI's code cuts it up: its heads, its columns of
// every expert, its part of the vocabulary. Norms and router are whole. Throws invalid_argument where it does not come out
// even.
model::GrokConfig shard_of(const model::GrokConfig& config, int num_shards);

// xAI cut attention-out and the experts' down along their input over 8 devices, each with its own scales.
inline constexpr int kScaleGroups = 8;

// Any part of any weight can be read on its own, from any thread: a value is a hash of seed, parameter and place.
// int8 weights are uniform in -127 .. 127 (0 twice as likely), their scales make a product of a normalised input about as
// large as its input, norms are 1, and the router is wide enough that tokens differ in their experts. `num_scale_groups` are
// those of attention-out and down; 1 where it does not divide their input.
std::unique_ptr<format::TensorSource> make_synthetic_source(const model::GrokConfig& config, std::uint64_t seed,
                                                            int num_scale_groups = kScaleGroups);

}  // namespace grok::runtime
