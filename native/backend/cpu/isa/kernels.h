#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/cpu/layout/kv_page.h"

// The inner loops that profit from wide vectors. One source, kernels.inc, is compiled once per instruction set; which
// table is used is decided when the backend is made.
namespace grok::cpu {

// Tokens that are multiplied together: the rows of an AMX tile.
inline constexpr int kPanelTokens = 16;

// Products are taken in three steps, so that each can be what its instruction set does best: activations are packed,
// packed activations times weights are added up in 32-bit sums, and sums become float32. An activation is packed as
//   f32     itself                                                                     (portable)
//   s16     a 16-bit integer and a scale for the token                                                     (AVX2)
//   digits  the bytes of an integer of 16 bits (AVX-512, AMX) or 24 (NEON), each with a sum of its own, and a scale
// Integer sums are exact, so they do not depend on how the work was cut up; floats are always added in the same order.

// One token's activations of one scale group.
struct PackActivations {
  std::uint8_t* out = nullptr;  // [num_rows / 64 rounded up][parts of an activation][num_tokens][64 rows]
  const float* x = nullptr;     // [num_rows]
  int num_rows = 0;             // zeros are added up to a multiple of 64
  int token = 0;                // of the panel
  int num_tokens = 0;           // of the panel
  float scale = 0;
};

// What a strip of weights brings to the sums of a panel.
struct StripProduct {
  void* sums = nullptr;                       // 32-bit [num_sums, 2, kPanelTokens, 16]
  const std::int8_t* weights = nullptr;       // num_quads of a strip, from the start of a chunk (cpu_matrix.h)
  const std::int8_t* second_strip = nullptr;  // the same rows of another strip, whose sums follow; or null
  const std::uint8_t* x = nullptr;            // packed activations of the same rows
  int num_tokens = 0;                         // 1 .. kPanelTokens
  int num_quads = 0;
  bool from_memory = false;  // the weights are not in the caches: fetch ahead
  bool add = false;          // to what the sums are already
  // What will be read after: next_lines cache lines of it, two a quad at most, are to be fetched meanwhile; or null.
  const std::int8_t* next = nullptr;
  int next_lines = 0;
};

// out = sums * scales of column and token, or out += that.
struct StripResult {
  float* out = nullptr;                       // [num_tokens, kStrip]
  const void* sums = nullptr;                 // as StripProduct left them
  const float* scales = nullptr;              // [kStrip]
  const std::int32_t* column_sums = nullptr;  // [kStrip]; null where add_columns is
  const float* token_scales = nullptr;        // [num_tokens]
  int num_tokens = 0;
  bool add = false;
};

struct ProductKernels {
  int activation_bytes;  // of one activation, packed
  int num_sums;          // of one output
  int block_rows;        // input rows to multiply at once, a multiple of 64: a strip of so many stays in L1
  int exact_rows;        // after how many rows the sums must become floats: before 32 bits can overflow
  int paired_tokens;     // up to so many, two strips at once are faster than one after the other
  int tokens_at_once;    // more take several passes over the weights
  int table_planes;      // of the embedding, that the head multiplies by (packed_table.h)
  float largest;         // |x| / scale that an activation can hold; 0: there are no scales
  void (*pack)(const PackActivations& op);
  void (*accumulate)(const StripProduct& op);
  void (*finish)(const StripResult& op);
  // column_sums[kStrip] += the sum of each column over num_quads of a strip, from the start of a chunk. Null: finish
  // needs no column sums.
  void (*add_columns)(const std::int8_t* weights, int num_quads, std::int32_t* column_sums);
};

// Softmax weights are summed apart in as many lanes, position by position.
inline constexpr int kWeightLanes = 16;

// Floats of what a query head has summed up: the mix of values [kv_width(head_dim)], then the weights [kWeightLanes].
constexpr int attention_sums(int head_dim) { return kv_width(head_dim) + kWeightLanes; }

// Tokens of one sequence, in each the query heads that share a kv head, against one page of that head.
struct PageAttention {
  float* sums = nullptr;                    // [num_tokens, num_heads, attention_sums(head_dim)], added to
  float* weights = nullptr;                 // scratch [num_tokens, num_heads, kPageSize]
  const float* q = nullptr;                 // [num_tokens, num_heads, head_dim], tokens q_stride apart
  const std::int32_t* positions = nullptr;  // [num_tokens]
  const std::byte* keys = nullptr;          // one head's share of a page: kv_page.h
  const std::byte* values = nullptr;        // the same
  const std::byte* next_keys = nullptr;     // to be asked for meanwhile, or null
  KvCacheType type = KvCacheType::f32;
  std::size_t q_stride = 0;
  int first_position = 0;  // of the page
  int num_tokens = 0;
  int num_heads = 0;
  int head_dim = 0;
  float scale = 0;
  float cap = 0;
};

struct Kernels {
  const char* isa;
  ProductKernels product;
  // The same with activations of 24 bits where `product` has 16: as close as float32, at half as much again. Or null.
  const ProductKernels* precise_product;
  // Softmax weights are exp(logit - cap): the cap bounds every logit, so no running maximum is needed. A row's sums are
  // taken in the order of positions, whatever rows are beside it.
  void (*page_attention)(const PageAttention& op);
  float (*dot)(const float* a, const float* b, std::size_t size);
  float (*largest_magnitude)(const float* x, std::size_t size);  // NaN where one is
  float (*highest)(const float* x, std::size_t size);            // NaN left out; -infinity where nothing else is
  double (*sum_of_exp)(const float* x, std::size_t size, float offset);  // of e^(x[i] - offset)
  // gate[i] = gelu_tanh(gate[i]) * up[i]. Source: xai-org/grok-1 model.py:DenseBlock (jax.nn.gelu, tanh form)
  void (*gated_gelu)(float* gate, const float* up, std::size_t size);
};

extern const Kernels kPortableKernels;
#if defined(__x86_64__)
extern const Kernels kAmxKernels;
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx2Kernels;
#elif defined(__aarch64__)
extern const Kernels kNeonKernels;  // with the dot product
#endif

// Those that this CPU runs, best first.
std::vector<const Kernels*> usable_kernels();

}  // namespace grok::cpu
