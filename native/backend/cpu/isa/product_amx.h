#pragma once

#include "backend/cpu/isa/kernels.h"

namespace grok::cpu {

// StripProduct for activations in 2 or 3 digits (kernels_avx512.cpp), with tiles. op.num_quads is a multiple of 16: what is
// left of a strip is for accumulate_digits.
void accumulate_amx(const StripProduct& op, int num_digits);

}  // namespace grok::cpu
