#include <cstdio>
#include <cstdlib>
#include <string>

#include "backend/cuda/cuda.h"

// Linked into tests that want a CUDA device: where there is none they are skipped, and say so.
namespace {

const bool kHasDevice = [] {
  const std::string reason = grok::why_no_cuda_device();
  if (reason.empty()) return true;
  std::printf("SKIPPED: %s\n", reason.c_str());
  std::exit(77);  // what ctest takes for skipped
}();

}  // namespace
