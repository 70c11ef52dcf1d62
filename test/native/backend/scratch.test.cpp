#include <fstream>

#include "backend/cpu/cpu.h"
#include "support/one_layer.h"
#include "testing.h"

using namespace grok;
using namespace grok::testing;

// That the CPU's scratch memory is what is said beforehand.
namespace {

std::size_t address_space_bytes() {
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * 4096;
}

// A piece too many is a new block, of 1 MiB at least; everything else here takes less.
constexpr std::size_t kLittle = 1 << 20;
constexpr std::size_t kHugePage = 2 << 20;  // that memory is rounded up to
constexpr Sizes kMostForExperts{.num_tokens = 256,
                                .d_model = 192,
                                .d_ff = 640,
                                .experts = 3,
                                .experts_per_token = 2,
                                .up_groups = 1,
                                .down_groups = 8};
constexpr Sizes kMostForQkv{.num_tokens = 256, .d_model = 4096, .num_q_heads = 2, .num_kv_heads = 2, .kv_groups = 64};
constexpr Sizes kMostForAttentionOut{.num_tokens = 256, .num_q_heads = 512, .num_kv_heads = 2, .out_groups = 512};
constexpr Sizes kMostForAttention{.num_tokens = 3, .num_positions = 60000, .num_q_heads = 16, .head_dim = 64};

}  // namespace

TEST("steps take no more memory than was said and reserved") {
  for (const std::string& isa : cpu_isas())
    for (const Sizes& sizes : {kMostForExperts, kMostForQkv, kMostForAttentionOut, kMostForAttention}) {
      const Layer layer(sizes);
      const auto backend = make_cpu_backend({.num_threads = 1, .isa = isa});
      LoadedLayer loaded(*backend, layer);
      loaded.run(1, 1);  // what a thread keeps
      const std::size_t before = address_space_bytes();
      backend->reserve_scratch(layer.step());
      const std::size_t reserved = address_space_bytes();
      if (reserved > before + backend->footprint().scratch_bytes(layer.step()) + kHugePage)
        fail(__FILE__, __LINE__, concat(isa, ": reserved ", reserved - before));
      loaded.run(sizes.num_tokens, sizes.num_outputs);
      if (const std::size_t after = address_space_bytes(); after >= reserved + kLittle)
        fail(__FILE__, __LINE__, concat(isa, ", d_model ", sizes.d_model, ": ", after - reserved, " bytes more"));
    }
}

TEST_MAIN()
