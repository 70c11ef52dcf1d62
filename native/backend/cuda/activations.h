#pragma once

#include <cstdint>

#include "backend/cuda/input_layout.h"

// Activations as the input of products, for code outside the device. digits.h explains the limbs ("digits").
namespace grok::cuda {

struct DigitRows {
  std::int8_t* digits = nullptr;  // [num_digits, num_rows, padded_rows], in the order of digit_place
  float* scales = nullptr;        // [num_rows, num_slices]
  int num_rows = 0;
};

// Rows of activations, with their quantized copy if the operation that computed them wrote one.
struct Activations {
  const float* values = nullptr;  // [num_rows, d_in]
  int num_rows = 0;
  DigitRows digits = {};  // quantized copy; no rows: there is none
  InputLayout layout = {};
};

}  // namespace grok::cuda
