#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "core/probe_rate.h"

// What this CPU can do at most, to judge the operations by: how fast it reads memory, and how many multiply-adds a second
// its instructions make when everything lies in registers.
namespace grok::cpu {

struct ProbeOptions {
  int num_threads = 0;                         // 0: platform::usable_cores()
  std::string isa = {};                        // "": the best with a probe that this CPU runs; else one of cpu_isas()
  std::uint64_t buffer_bytes = 0;              // to read from; well beyond the caches
  const std::atomic<bool>* stopped = nullptr;  // ends the probe with `cancelled` within a tenth of a second or so
};

struct MultiplyAddRate {
  std::string name;  // of the operands: "f32", "s16 x s16", "u8 x s8"
  ProbeRate rate;    // GMAC/s
  int per_product;   // so many make a multiply-add of products on this ISA: 2 where an activation is two bytes; 0: none
};

struct Probe {
  std::string isa;
  int num_threads = 0;
  std::uint64_t buffer_bytes = 0;
  // GB/s, front to back from a buffer in 2 MiB pages where the system has them: of the loops for it, the fastest.
  ProbeRate read;
  std::vector<MultiplyAddRate> multiply_adds;
};

// Takes about two seconds. Throws invalid_argument for an ISA without a probe here, out_of_memory, cancelled.
Probe probe_cpu(const ProbeOptions& options);

}  // namespace grok::cpu
