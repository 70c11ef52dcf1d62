#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "core/probe_rate.h"

// The limits of this CPU, with which the operations are compared: how fast it reads memory, and how many multiply-adds
// a second its instructions make on registers.
namespace grok::cpu {

struct ProbeOptions {
  int num_threads = 0;  // 0: platform::usable_cores()
  // "": the best that has a probe and that this CPU runs; else one of usable_isas()
  std::string isa = {};
  std::uint64_t buffer_bytes = 0;              // size of the buffer to read, much larger than the caches
  const std::atomic<bool>* stopped = nullptr;  // ends the probe with `cancelled` within about a tenth of a second
};

struct MultiplyAddRate {
  std::string name;  // of the operands: "f32", "s16 x s16", "u8 x s8"
  ProbeRate rate;    // GMAC/s
  // instructions for one multiply-add of a product: 2 if an activation is two bytes; 0: products do not use it
  int per_product;
};

struct Probe {
  std::string isa;
  int num_threads = 0;
  std::uint64_t buffer_bytes = 0;
  // GB/s of the fastest read loop, front to back from a buffer in 2 MiB pages if the system has them.
  ProbeRate read;
  std::vector<MultiplyAddRate> multiply_adds;
};

// Takes about two seconds. Throws invalid_argument for an ISA without a probe here, out_of_memory, cancelled.
Probe run_probe(const ProbeOptions& options);

}  // namespace grok::cpu
