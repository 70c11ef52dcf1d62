#pragma once

#include "backend/cpu/isa/kernels.h"

namespace grok::cpu {

// StripProduct with tiles, for activations of 2 or 3 limbs (kernels_avx512.cpp). op.num_quads is a multiple of 16; the
// rest of a strip is left to accumulate_limbs.
void accumulate_amx(const StripProduct& op, int num_limbs);

}  // namespace grok::cpu
