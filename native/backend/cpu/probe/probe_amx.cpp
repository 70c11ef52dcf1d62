#if defined(__x86_64__)

#include <immintrin.h>

#include "backend/cpu/isa/amx.h"
#include "backend/cpu/probe/probe_kernels.h"

namespace grok::cpu {

// Four sums from two tiles of activations and two of weights: each sum is used only by every fourth instruction.
void run_tiles(int num_rounds) {
  configure_tiles(16);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (int round = 0; round < num_rounds; round += 8) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
}

}  // namespace grok::cpu

#endif
