#pragma once

#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "core/tensor.h"

// Random numbers for tests: the same ones on each run.
namespace grok::testing {

inline std::vector<float> random_floats(std::size_t size, unsigned seed, float spread = 1.0f) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(size);
  for (float& value : values) value = spread * normal(generator);  // a spread of 0 gives zeros
  return values;
}

// A source that holds its bytes.
class Bytes final : public ByteSource {
 public:
  template <typename T>
  explicit Bytes(const std::vector<T>& values) : bytes_(values.size() * sizeof(T)) {
    if (!values.empty()) std::memcpy(bytes_.data(), values.data(), bytes_.size());
  }
  void read(std::uint64_t offset, std::span<std::byte> out) const override {
    std::memcpy(out.data(), bytes_.data() + offset, out.size());
  }

 private:
  std::vector<std::byte> bytes_;
};

// A quantised matrix and its dequantized values.
struct MadeUpMatrix {
  MadeUpMatrix(std::uint64_t num_experts, std::uint64_t d_in, std::uint64_t d_out, std::uint64_t num_groups,
               unsigned seed)
      : num_experts(num_experts), d_in(d_in), d_out(d_out), num_groups(num_groups) {
    std::mt19937 generator(seed);
    for (std::uint64_t i = 0; i < num_experts * d_in * d_out; ++i)
      weights.push_back(std::int8_t(int(generator() % 256) - 128));  // -128 included
    for (std::uint64_t i = 0; i < num_experts * num_groups * d_out; ++i)
      scales.push_back(f32_to_bf16(0.001f * float(1 + generator() % 100)));
    weight_source = std::make_unique<Bytes>(weights);
    scale_source = std::make_unique<Bytes>(scales);
  }

  Linear view() const {
    return {{DType::i8, {num_experts, d_in, d_out}, weight_source.get(), 0},
            {DType::bf16, {num_experts, num_groups, d_out}, scale_source.get(), 0}};
  }
  double at(std::uint64_t expert, std::uint64_t row, std::uint64_t column) const {
    const std::uint64_t group = row / (d_in / num_groups);
    return double(weights[(expert * d_in + row) * d_out + column]) *
           double(bf16_to_f32(scales[(expert * num_groups + group) * d_out + column]));
  }

  std::uint64_t num_experts, d_in, d_out, num_groups;
  std::vector<std::int8_t> weights;   // [num_experts, d_in, d_out]
  std::vector<std::uint16_t> scales;  // bf16 [num_experts, num_groups, d_out]
  std::unique_ptr<Bytes> weight_source, scale_source;
};

// ||found - expected|| / ||expected||
template <typename Found, typename Expected>
double distance(const std::vector<Found>& found, const std::vector<Expected>& expected) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += (double(found[i]) - double(expected[i])) * (double(found[i]) - double(expected[i]));
    size += double(expected[i]) * double(expected[i]);
  }
  return std::sqrt(difference / size);
}

}  // namespace grok::testing
