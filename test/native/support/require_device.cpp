#include <cstdio>
#include <cstdlib>
#include <string>

#include "backend/cuda/cuda.h"
#include "testing.h"

// Linked into tests that want a CUDA device: where there is none they are skipped, and say so. Not before main: kernels are
// made known to the runtime by what is static, too.
namespace {

const bool kAsks = [] {
  grok::testing::before_all() = [] {
    const std::string reason = grok::cuda::why_no_cuda_device();
    if (reason.empty()) return;
    std::printf("SKIPPED: %s\n", reason.c_str());
    std::exit(77);  // what ctest takes for skipped
  };
  return true;
}();

}  // namespace

#ifdef GROK_TESTS_TOGETHER
int main(int argc, char** argv) { return grok::testing::run(argc, argv); }
#endif
