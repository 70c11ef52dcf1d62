#pragma once

#include <cstdint>

#include "backend/backend.h"
#include "backend/cuda/device_memory.h"
#include "backend/cuda/input_layout.h"

// Activations as the input of products, for code outside the device. quantize.h explains the limbs.
namespace grok::cuda {

struct LimbRows {
  std::int8_t* limbs = nullptr;  // [num_limbs, num_rows, padded_rows], in the order of limb_place
  float* scales = nullptr;       // [num_rows, num_slices]
  int num_rows = 0;
};

// The quantized copy of rows of activations. It has room for at most kTokensAtOnce rows.
class CudaQuantizedRows final : public QuantizedRows {
 public:
  CudaQuantizedRows(const QuantizedShape& shape, int num_limbs);
  static std::size_t size_bytes(const QuantizedShape& shape, int num_limbs);

  // The memory for so many rows. No rows if they do not fit.
  LimbRows limbs(int num_rows) const;

  const InputLayout layout;

 private:
  DeviceScratch memory_;
  LimbRows most_;  // for the largest number of rows
};

// Rows of activations and their quantized copy, as operations write them and products read them.
struct Activations {
  Activations(const float* values, int num_rows, const QuantizedRows* quantized);

  // The rows of one launch, from row `first` on. Rows with a quantized copy fit one launch.
  Activations part(int first, int count, int d_in) const;

  const float* values;  // [num_rows, d_in]
  int num_rows;
  LimbRows limbs = {};  // quantized copy; no rows: there is none
  InputLayout layout = {};
};

}  // namespace grok::cuda
