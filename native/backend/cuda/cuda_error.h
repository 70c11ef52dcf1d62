#pragma once

#include <cuda_runtime.h>

#include <string>

#include "core/error.h"

// Errors of the CUDA runtime, in words.
namespace grok::cuda {

// "cudaErrorIllegalAddress (an illegal memory access was encountered)".
inline std::string in_words(cudaError_t error) {
  return concat(cudaGetErrorName(error), " (", cudaGetErrorString(error), ")");
}

// `what` describes the failed action.
inline Error device_failed(const std::string& what, cudaError_t error) {
  return {ErrorCode::device_failed, concat("the CUDA device failed at ", what, ": ", in_words(error)),
          "Results of this device cannot be trusted any more: close the model and open it again in a new process."};
}

}  // namespace grok::cuda
