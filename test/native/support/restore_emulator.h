#pragma once

#include <cuda_runtime.h>

#include "emulator/emulator.h"

namespace grok::testing {

// Whatever a test did to the emulated device is undone when this goes.
struct Restore {
  ~Restore() {
    emulator::settings() = {};
    emulator::heal();
  }
};

}  // namespace grok::testing
