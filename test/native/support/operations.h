#pragma once

#include <algorithm>
#include <numeric>
#include <utility>

#include "backend/cpu/cpu.h"
#include "support/golden.h"
#include "support/made_up.h"
#include "support/on_device.h"
#include "support/tested_backends.h"

// An operation of the contract on each tested backend, and on the CPU backend's portable kernels, which compute in
// float32. Sizes are odd, one, and more than a block.
namespace grok::testing {

inline std::unique_ptr<Backend> reference_backend() { return cpu::make_backend({.num_threads = 1, .isa = "portable"}); }

// The result of `compute` on a tested backend, and on the reference.
template <typename Compute>
auto beside_reference(const TestedBackend& tested, Compute compute) {
  const auto backend = tested.make(), reference = reference_backend();
  return std::pair(compute(*backend), compute(*reference));
}

inline TablePtr table_of(Backend& backend, const std::vector<float>& rows, int vocab_size) {
  const Bytes source(rows);
  return backend.load_table(
      {DType::f32, {std::uint64_t(vocab_size), rows.size() / std::size_t(vocab_size)}, &source, 0});
}

inline std::vector<std::int32_t> random_ints(std::size_t size, int below, unsigned seed) {
  std::mt19937 generator(seed);
  std::vector<std::int32_t> values(size);
  for (auto& value : values) value = std::int32_t(generator() % unsigned(below));
  return values;
}

// Tokens of several sequences, at positions of which some are far apart, in unordered pages.
struct MadeUpBatch {
  MadeUpBatch(const std::vector<int>& positions_of_tokens, int num_sequences, int num_pages_each, int vocab_size)
      : positions(positions_of_tokens.begin(), positions_of_tokens.end()),
        tokens(random_ints(positions.size(), vocab_size, 5)),
        pages(std::size_t(num_sequences) * num_pages_each) {
    for (std::size_t token = 0; token < positions.size(); ++token) sequences.push_back(int(token) % num_sequences);
    std::iota(pages.begin(), pages.end(), 0);
    std::shuffle(pages.begin(), pages.end(), std::mt19937(3));
    batch = {.tokens = tokens.data(),
             .positions = positions.data(),
             .sequences = sequences.data(),
             .page_tables = pages.data(),
             .output_rows = nullptr,
             .num_tokens = int(positions.size()),
             .num_sequences = num_sequences,
             .max_pages = num_pages_each,
             .num_outputs = 0};
  }
  std::vector<std::int32_t> positions, tokens, sequences, pages;
  Batch batch;
};

inline constexpr KvCacheType kCacheTypes[] = {KvCacheType::f32, KvCacheType::bf16, KvCacheType::int8};

// A cache whose bytes are those of one float32, so that unwritten places are recognizable.
struct Cache {
  Cache(Backend& backend, KvCacheType type, int num_pages, int num_kv_heads, int head_dim, float unwritten = -7)
      : num_pages(num_pages), num_kv_heads(num_kv_heads), head_dim(head_dim) {
    const std::size_t size_bytes =
        std::size_t(num_pages) * backend.footprint().kv_page_bytes(type, num_kv_heads, head_dim);
    keys = on_device(backend, std::vector<float>(size_bytes / sizeof(float), unwritten));
    values = on_device(backend, std::vector<float>(size_bytes / sizeof(float), unwritten));
    pages = {keys->as<std::byte>(), values->as<std::byte>(), type};
  }
  // [num_pages, kPageSize, 2, num_kv_heads, head_dim]
  std::vector<float> read(Backend& backend) const {
    const int width = num_kv_heads * head_dim;
    std::vector<float> all(std::size_t(num_pages) * kPageSize * 2 * width);
    for (int place = 0; place < num_pages * kPageSize; ++place)
      backend.read_kv({.key = &all[std::size_t(place) * 2 * width],
                       .value = &all[(std::size_t(place) * 2 + 1) * width],
                       .kv = pages,
                       .page = place / kPageSize,
                       .position_in_page = place % kPageSize,
                       .num_kv_heads = num_kv_heads,
                       .head_dim = head_dim});
    return all;
  }
  int num_pages, num_kv_heads, head_dim;
  BufferPtr keys, values;
  KvPages pages;
};

inline void check_near(const std::vector<float>& found, const std::vector<float>& expected, double tolerance,
                       const std::string& what) {
  const double d = distance(found, expected);
  if (found.size() != expected.size() || !(d <= tolerance)) fail(__FILE__, __LINE__, concat(what, ": ", d, " away"));
}

}  // namespace grok::testing
