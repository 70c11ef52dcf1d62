#include "backend/cpu/isa/kernels.h"

#include "backend/cpu/isa/cpu_features.h"
#include "platform/cpu_features.h"
#if defined(__x86_64__)
#include "backend/cpu/isa/amx.h"
#endif

namespace grok::cpu {

std::vector<const Kernels*> usable_kernels() {
  std::vector<const Kernels*> usable;
#if defined(__x86_64__)
  if (has_avx512()) {
    if (can_use_amx()) usable.push_back(&kAmxKernels);
    usable.push_back(&kAvx512Kernels);
  }
  if (has_avx2()) usable.push_back(&kAvx2Kernels);
#elif defined(__aarch64__)
  if (platform::has_dot_product()) usable.push_back(&kNeonKernels);
#endif
  usable.push_back(&kPortableKernels);
  return usable;
}

}  // namespace grok::cpu
