#include <sstream>

#include "emulator/machine.h"

namespace emulator {

std::string text_of(const Where& where) {
  const std::string path = where.file_name();
  std::ostringstream out;
  out << path.substr(path.rfind('/') + 1) << ":" << where.line();
  return out.str();
}

std::string text_of(const uint3& index) {
  std::ostringstream out;
  out << "(" << index.x << ", " << index.y << ", " << index.z << ")";
  return out.str();
}

std::string what_they_wait_for() {
  std::ostringstream out;
  out << "deadlock:";
  for (const auto& block : machine->blocks) {
    out << " block " << text_of(block->index) << " has " << block->num_alive << " threads alive";
    if (!block->at_barrier.empty())
      out << ", " << block->at_barrier.size() << " at __syncthreads (" << text_of(block->barrier) << ")";
    for (std::size_t warp = 0; warp < block->warps.size(); ++warp)
      for (const Collective& collective : block->warps[warp].collectives)
        out << ", lanes 0x" << std::hex << collective.arrived << " of 0x" << collective.mask << std::dec << " of warp "
            << warp << " in " << collective.what << " (" << text_of(collective.where) << ")";
    out << ";";
  }
  return out.str();
}

void report(const std::string& what) {
  const Thread& thread = running();
  throw Fault("block " + text_of(thread.block->index) + ", thread " + text_of(thread.index) + ": " + what);
}

}  // namespace emulator
