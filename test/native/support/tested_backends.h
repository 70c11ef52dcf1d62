#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#if defined(GROK_TEST_CUDA)
#include "backend/cuda/cuda.h"
#else
#include "backend/cpu/cpu.h"
#include "backend/cpu/isa/kernels.h"
#endif

// The backends that a test of the contract runs on: one program for each device.
namespace grok::testing {

// Distance to the float64 result. xAI's code in float32 stays below 1e-6. The smallest mistake in the goldens' table
// that these networks can show (erf for tanh GELU) costs 9e-5, and a gate of 1e-5 detects it.
struct Gates {
  double product = 2e-6;  // of one matrix: two orders of the same float sums
  double row = 0x1p-22;   // of the embedding, as a share of the row's largest value
  double layers = 1e-5, logits = 1e-5;
  // A choice of experts or tokens may differ if float64's margin is smaller than this.
  float tie = 1e-3f;
};

struct TestedBackend {
  std::string name;
  std::function<std::unique_ptr<Backend>()> make;
  Gates gates = {};
  std::vector<std::string> networks = {"ref-small", "ref-order", "ref-wide"};
};

inline std::vector<TestedBackend> tested_backends() {
  std::vector<TestedBackend> tested;
#if defined(GROK_TEST_CUDA)
  // Three limbs are as precise as a float32. Two are 2^8 times coarser: 5e-5 to 2e-4 measured, while xAI's bf16 is 6e-3
  // to 6e-2 away. The emulator is slow, so not every network runs with every number of limbs.
  tested.push_back({.name = "cuda, 3 limbs",
                    .make = [] { return cuda::make_backend({.num_limbs = 3}); },
                    .networks = {"ref-small", "ref-wide"}});
#if defined(__SANITIZE_ADDRESS__)  // it takes ten times as long: one network is enough to find a bad access
  tested.back().networks.pop_back();
  return tested;
#endif
  tested.push_back({.name = "cuda, 2 limbs",
                    .make = [] { return cuda::make_backend({.num_limbs = 2}); },
                    .gates = {.product = 1e-4, .row = 0x1p-15, .layers = 5e-4, .logits = 5e-4, .tie = 0.01f},
                    .networks = {"ref-small"}});
#else
  for (const cpu::Kernels* kernels : cpu::usable_kernels()) {
    const std::string isa = kernels->isa;
    const auto make = [isa](bool is_precise) {
      return [isa, is_precise] { return cpu::make_backend({.num_threads = 2, .isa = isa, .is_precise = is_precise}); };
    };
    const Gates precise{.layers = 1e-5, .logits = 1e-4};  // 24-bit activations, and a head of 16 bits: 2.5e-5
    const Gates usual{.product = 1e-4, .layers = 5e-4, .logits = 5e-4};  // 16-bit activations: 3e-5 a product
    if (kernels->precise_product) tested.push_back({.name = isa + ", 24 bits", .make = make(true), .gates = precise});
    tested.push_back({.name = isa,
                      .make = make(false),
                      .gates = isa == "portable" ? Gates()
                               : isa == "neon"   ? precise
                                                 : usual});
  }
#endif
  return tested;
}

}  // namespace grok::testing
