#include <cstdio>
#include <cstdlib>
#include <string>

#include "backend/cuda/cuda.h"
#include "testing.h"

// Linked into tests that need a CUDA device: without one they are skipped, with a message. Not before main: static
// objects register kernels with the runtime.
namespace {

const bool kAsks = [] {
  grok::testing::before_all() = [] {
    const std::string reason = grok::cuda::why_no_device();
    if (reason.empty()) return;
    std::printf("SKIPPED: %s\n", reason.c_str());
    std::exit(77);  // ctest's code for a skipped test
  };
  return true;
}();

}  // namespace

#ifdef GROK_TESTS_TOGETHER
int main(int argc, char** argv) { return grok::testing::run(argc, argv); }
#endif
