#include "platform/cpu_features.h"

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#elif defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace grok::platform {

bool has_dot_product() {
#if defined(__aarch64__)
  return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#else
  return false;
#endif
}

bool permit_amx_tiles() {
#if defined(__x86_64__)
  // Linux lets a process use the 8 KiB of tile registers after a request. Source: Documentation/arch/x86/xstate.rst
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

}  // namespace grok::platform
