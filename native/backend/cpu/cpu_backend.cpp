#include "backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>

#include "backend/cpu/cpu.h"
#include "backend/cpu/layout/kv_page.h"
#include "backend/cpu/layout/mapped_matrix.h"
#include "backend/cpu/layout/packed_matrix.h"
#include "backend/cpu/layout/packed_table.h"
#include "platform/usable_cores.h"

namespace grok::cpu {
namespace {

// Bytes of the file that one task copies
constexpr std::size_t kCopyBytes = std::size_t(4) << 20;

BufferPtr copy_of(const TensorView& view, threads::ThreadPool& pool) {
  const std::size_t size_bytes = view.size_bytes();
  auto memory = std::make_unique<HostMemory>(size_bytes);
  pool.parallel_for((size_bytes + kCopyBytes - 1) / kCopyBytes, [&](std::size_t task) {
    const std::size_t start = task * kCopyBytes;
    view.read(start, {memory->as<std::byte>() + start, std::min(kCopyBytes, size_bytes - start)});
  });
  return memory;
}

}  // namespace

std::vector<std::string> usable_isas() {
  std::vector<std::string> names;
  for (const Kernels* kernels : usable_kernels()) names.push_back(kernels->isa);
  return names;
}

namespace {

Kernels kernels_for(const Options& options) {
  const auto usable = usable_kernels();
  const auto wanted = std::find_if(usable.begin(), usable.end(), [&](const Kernels* kernels) {
    return options.isa.empty() || options.isa == kernels->isa;
  });
  if (wanted == usable.end()) {
    std::string names;
    for (const Kernels* kernels : usable) names += concat(names.empty() ? "" : ", ", kernels->isa);
    throw Error(ErrorCode::invalid_argument,
                concat("no kernels for the instruction set \"", options.isa, "\" on this CPU: expected one of ", names),
                "unset GROK_RUN_ISA to let the program choose");
  }
  Kernels kernels = **wanted;
  if (options.is_precise && kernels.precise_product) kernels.product = *kernels.precise_product;
  return kernels;
}

int num_threads_for(const Options& options) {
  return options.num_threads > 0 ? options.num_threads : platform::usable_cores();
}

}  // namespace

std::unique_ptr<Backend> make_backend(const Options& options) {
  return std::make_unique<CpuBackend>(kernels_for(options), num_threads_for(options), options.weights);
}

std::unique_ptr<Footprint> make_footprint(const Options& options) {
  return std::make_unique<CpuFootprint>(kernels_for(options), options.weights, num_threads_for(options));
}

std::string CpuBackend::description() const {
  const int num_threads = pool_.num_threads();
  return concat("cpu (", kernels_.isa, ", ", num_threads, num_threads == 1 ? " thread)" : " threads)");
}

BufferPtr CpuBackend::allocate(std::size_t size_bytes) { return std::make_unique<HostMemory>(size_bytes); }

BufferPtr CpuBackend::load_vector(const TensorView& f32) { return copy_of(f32, pool_); }

TablePtr CpuBackend::load_table(const TensorView& f32) { return std::make_unique<PackedTable>(f32, pool_); }

MatrixPtr CpuBackend::load_matrix(const Linear& stored) {
  if (weights_ == WeightStorage::mapped) return std::make_unique<MappedMatrix>(stored);
  return pack_matrix(stored, pool_);
}

void CpuBackend::read(std::span<float> host, const float* from) { std::memcpy(host.data(), from, host.size_bytes()); }

void CpuBackend::read(std::span<std::int32_t> host, const std::int32_t* from) {
  std::memcpy(host.data(), from, host.size_bytes());
}

void CpuBackend::read_kv(const ReadKv& op) {
  for (int head = 0; head < op.num_kv_heads; ++head)
    cpu::read_kv(op.kv,
                 {.page = op.page,
                  .position_in_page = op.position_in_page,
                  .head = head,
                  .num_heads = op.num_kv_heads,
                  .head_dim = op.head_dim},
                 op.key + std::size_t(head) * op.head_dim, op.value + std::size_t(head) * op.head_dim);
}

}  // namespace grok::cpu
