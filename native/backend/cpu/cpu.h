#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"

// The public interface of the CPU backend.
namespace grok::cpu {

struct Options {
  int num_threads = 0;   // 0: platform::usable_cores()
  std::string isa = "";  // "": the best that this CPU runs; else one of usable_isas()
  WeightStorage weights = WeightStorage::packed;
  bool is_precise = false;  // use 24-bit activations if products would use 16 bits (Kernels::precise_product)
};

// Throws invalid_argument for an ISA that is unknown or that this CPU lacks.
std::unique_ptr<Backend> make_backend(const Options& options);
// The memory requirements of that backend. Throws the same errors.
std::unique_ptr<Footprint> make_footprint(const Options& options);

// Instruction sets for which this binary has kernels and which this CPU runs, best first. The last is "portable".
std::vector<std::string> usable_isas();

}  // namespace grok::cpu
