#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"

// What the CPU backend shows to the rest of the house.
namespace grok::cpu {

struct CpuOptions {
  int num_threads = 0;   // 0: platform::usable_cores()
  std::string isa = "";  // "": the best this CPU runs; else one of cpu_isas()
  WeightStorage weights = WeightStorage::packed;
  bool is_precise = false;  // activations of 24 bits where products would take 16 (Kernels::precise_product)
};

// Throws invalid_argument for an ISA that is unknown or that this CPU lacks.
std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options);
// What that backend will take. The same errors.
std::unique_ptr<Footprint> make_cpu_footprint(const CpuOptions& options);

// Instruction sets this binary has kernels for and this CPU runs, best first. The last is "portable".
std::vector<std::string> cpu_isas();

}  // namespace grok::cpu
