#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/cpu/layout/kv_page.h"

// The inner loops that profit from wide vectors. One source, kernels.inc, is compiled once per instruction set. The
// backend chooses its table when it is made.
namespace grok::cpu {

// Tokens that are multiplied together: the rows of an AMX tile.
inline constexpr int kPanelTokens = 16;

// A product has three steps, and each instruction set implements them in its own way. It packs the activations,
// accumulates packed activations times weights in 32-bit sums, and converts the sums to float32. Packed activations are
//   f32    unchanged                                                                          (portable)
//   s16    a 16-bit integer, and a scale for the token                                            (AVX2)
//   limbs  the bytes of an integer of 16 bits (AVX-512, AMX) or 24 (NEON), each with its own sum, and a scale
// Integer sums are exact, so they do not depend on how the work is divided. Floats are always added in the same order.

// One token's activations of one scale group.
struct PackActivations {
  std::uint8_t* out = nullptr;  // [num_rows / 64 rounded up][parts of an activation][num_tokens][64 rows]
  const float* x = nullptr;     // [num_rows]
  int num_rows = 0;             // padded with zeros to a multiple of 64
  int token = 0;                // its index in the panel
  int num_tokens = 0;           // tokens of the panel
  float scale = 0;
};

// Adds the products of one strip of weights to the sums of a panel.
struct StripProduct {
  void* sums = nullptr;                       // 32-bit [num_sums, 2, kPanelTokens, 16]
  const std::int8_t* weights = nullptr;       // num_quads of a strip, from the start of a chunk (cpu_matrix.h)
  const std::int8_t* second_strip = nullptr;  // the same rows of another strip, whose sums follow; or null
  const std::uint8_t* x = nullptr;            // packed activations of the same rows
  int num_tokens = 0;                         // 1 .. kPanelTokens
  int num_quads = 0;
  bool from_memory = false;  // the weights are not in the caches: prefetch them
  bool add = false;          // add to the present sums instead of replacing them
  // The data to read next: prefetch next_lines cache lines of it meanwhile, at most two a quad. Null: none.
  const std::int8_t* next = nullptr;
  int next_lines = 0;
};

// out = sums * scales of column and token, or out += that.
struct StripResult {
  float* out = nullptr;                       // [num_tokens, kStrip]
  const void* sums = nullptr;                 // as written by StripProduct
  const float* scales = nullptr;              // [kStrip]
  const std::int32_t* column_sums = nullptr;  // [kStrip]; null where add_columns is
  const float* token_scales = nullptr;        // [num_tokens]
  int num_tokens = 0;
  bool add = false;
};

struct ProductKernels {
  int activation_bytes;  // of one packed activation
  int num_sums;          // of one output
  int block_rows;        // input rows to multiply at once, a multiple of 64: a strip of this many stays in L1
  int exact_rows;        // rows after which sums become floats, before 32 bits can overflow
  int paired_tokens;     // maximum number of tokens for which two strips at once are faster than one after the other
  int tokens_at_once;    // more tokens need several passes over the weights
  int table_limbs;       // limbs of the embedding that the head multiplies by (packed_table.h)
  float largest;         // largest |x| / scale that an activation can hold; 0: there are no scales
  void (*pack)(const PackActivations& op);
  void (*accumulate)(const StripProduct& op);
  void (*finish)(const StripResult& op);
  // Adds the sum of each column over num_quads of a strip, from the start of a chunk, to column_sums[kStrip]. Null if
  // finish needs no column sums.
  void (*add_columns)(const std::int8_t* weights, int num_quads, std::int32_t* column_sums);
};

// Softmax weights are summed separately in this many lanes, position by position.
inline constexpr int kWeightLanes = 16;

// Floats that a query head accumulates: values times weights [kv_width(head_dim)], then the weights [kWeightLanes].
constexpr int attention_sums(int head_dim) { return kv_width(head_dim) + kWeightLanes; }

// Attention of some tokens of one sequence, in the query heads of one kv head, to one page of that head.
struct PageAttention {
  float* sums = nullptr;                    // [num_tokens, num_heads, attention_sums(head_dim)], added to
  float* weights = nullptr;                 // scratch [num_tokens, num_heads, kPageSize]
  const float* q = nullptr;                 // [num_tokens, num_heads, head_dim], tokens q_stride apart
  const std::int32_t* positions = nullptr;  // [num_tokens]
  const std::byte* keys = nullptr;          // one head's share of a page: kv_page.h
  const std::byte* values = nullptr;        // the same
  const std::byte* next_keys = nullptr;     // prefetched meanwhile, or null
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
  // The same with 24-bit activations if `product` has 16 bits: as exact as float32, at 1.5 times the cost. Or null.
  const ProductKernels* precise_product;
  // Softmax weights are exp(logit - cap): the cap bounds every logit, so no running maximum is needed. A row's sums are
  // accumulated in the order of positions, whichever rows are beside it.
  void (*page_attention)(const PageAttention& op);
  float (*dot)(const float* a, const float* b, std::size_t size);
  float (*largest_magnitude)(const float* x, std::size_t size);  // NaN if any x[i] is NaN
  float (*highest)(const float* x, std::size_t size);            // ignores NaN; -infinity if there is no other value
  double (*sum_of_exp)(const float* x, std::size_t size, float offset);  // sum of e^(x[i] - offset)
  // gate[i] = gelu_tanh(gate[i]) * up[i]. Source: xai-org/grok-1 model.py:DenseBlock (jax.nn.gelu, tanh form)
  void (*gated_gelu)(float* gate, const float* up, std::size_t size);
};

extern const Kernels kPortableKernels;
#if defined(__x86_64__)
extern const Kernels kAmxKernels;
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx2Kernels;
#elif defined(__aarch64__)
extern const Kernels kNeonKernels;  // needs the dot product
#endif

// Kernels that this CPU runs, best first.
std::vector<const Kernels*> usable_kernels();

}  // namespace grok::cpu
