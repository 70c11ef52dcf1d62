#pragma once

#include <cuda_runtime.h>

#include "emulator/emulator.h"

namespace grok::testing {

// Undoes all changes of a test to the emulated device on destruction.
struct Restore {
  ~Restore() {
    emulator::settings() = {};
    emulator::heal();
  }
};

}  // namespace grok::testing
