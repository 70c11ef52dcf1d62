#include <fstream>
#include <random>

#include "backend/cpu/cpu.h"
#include "support/one_layer.h"
#include "testing.h"

using namespace grok;
using namespace grok::cpu;
using namespace grok::testing;

// The CPU's scratch memory equals its plan.
namespace {

std::size_t address_space_bytes() {
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * 4096;
}

// One piece too many is a new block, of at least 1 MiB; everything else here takes less.
constexpr std::size_t kLittle = 1 << 20;
constexpr std::size_t kHugePage = 2 << 20;  // unit to which memory is rounded up
// AddressSanitizer gives a thread a signal stack when the thread first runs: 188 KiB on a CPU with AMX.
#ifdef __SANITIZE_ADDRESS__
constexpr std::size_t kThreadBytes = 256 << 10;
#else
constexpr std::size_t kThreadBytes = 0;
#endif
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

TEST("steps take no more memory than was planned and reserved") {
  for (const std::string& isa : usable_isas())
    for (const Sizes& sizes : {kMostForExperts, kMostForQkv, kMostForAttentionOut, kMostForAttention}) {
      const Layer layer(sizes);
      const auto backend = make_backend({.num_threads = 1, .isa = isa});
      LoadedLayer loaded(*backend, layer);
      loaded.run(1, 1);  // memory that a thread keeps
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

TEST("attention takes no more than planned, however a step and its threads divide it") {
  constexpr int kNumQHeads = 24, kNumKvHeads = 4, kHeadDim = 128;
  std::mt19937 random(1);
  const auto up_to = [&](int most) { return std::uniform_int_distribution(1, most)(random); };
  for (const int num_threads : {1, 2, 5, 16})
    for (int repeat = 0; repeat < 12; ++repeat) {
      const int num_positions = up_to(40 * kPageSize), max_pages = (num_positions + kPageSize - 1) / kPageSize;
      std::vector<std::int32_t> positions, sequences;
      int num_sequences = 0;
      for (const int num_tokens = up_to(60); int(positions.size()) < num_tokens; ++num_sequences) {
        const int count = std::min({up_to(40), num_tokens - int(positions.size()), num_positions});
        const int first = up_to(num_positions - count + 1) - 1;
        for (int i = 0; i < count; ++i) {
          positions.push_back(first + i);
          sequences.push_back(num_sequences);
        }
      }
      const std::vector<std::int32_t> pages(std::size_t(num_sequences) * max_pages);  // all the same one
      const int num_tokens = int(positions.size());
      const Batch batch{.tokens = positions.data(),
                        .positions = positions.data(),
                        .sequences = sequences.data(),
                        .page_tables = pages.data(),
                        .num_tokens = num_tokens,
                        .num_sequences = num_sequences,
                        .max_pages = max_pages};
      const auto backend = make_backend({.num_threads = num_threads});
      const std::size_t page = backend->footprint().kv_page_bytes(KvCacheType::f32, kNumKvHeads, kHeadDim);
      const BufferPtr keys = backend->allocate(page), values = backend->allocate(page);
      std::vector<float> q(std::size_t(num_tokens) * kNumQHeads * kHeadDim), out(q.size());
      backend->reserve_scratch({.num_tokens = num_tokens,
                                .num_sequences = num_sequences,
                                .num_positions = num_positions,
                                .num_q_heads = kNumQHeads,
                                .num_kv_heads = kNumKvHeads,
                                .head_dim = kHeadDim});
      const std::size_t reserved = address_space_bytes();
      backend->attention({.out = out.data(),
                          .q = q.data(),
                          .kv = {keys->as<std::byte>(), values->as<std::byte>(), KvCacheType::f32},
                          .batch = &batch,
                          .num_q_heads = kNumQHeads,
                          .num_kv_heads = kNumKvHeads,
                          .head_dim = kHeadDim,
                          .scale = 1,
                          .cap = 30});
      if (const std::size_t after = address_space_bytes(); after >= reserved + kLittle + num_threads * kThreadBytes)
        fail(__FILE__, __LINE__,
             concat(num_tokens, " tokens of ", num_sequences, " sequences, ", num_positions, " positions, ",
                    num_threads, " threads: ", after - reserved, " bytes more"));
    }
}

TEST_MAIN()
