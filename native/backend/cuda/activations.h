#pragma once

#include <cstdint>

#include "backend/cuda/input_layout.h"

// What products multiply, for code that is not of the device: digits.h says what the digits are.
namespace grok::cuda {

struct DigitRows {
  std::int8_t* digits = nullptr;  // [num_digits, num_rows, padded_rows], in the order of digit_place
  float* scales = nullptr;        // [num_rows, num_slices]
  int num_rows = 0;
};

// Rows of activations, and their digits where the operation that made them left those too.
struct Activations {
  const float* values = nullptr;  // [num_rows, d_in]
  int num_rows = 0;
  DigitRows digits = {};  // none: no rows
  InputLayout layout = {};
};

}  // namespace grok::cuda
