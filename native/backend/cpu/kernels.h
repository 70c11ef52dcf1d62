#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/cpu/kv_page.h"

// The inner loops that profit from wide vectors. One source, kernels.inc, is compiled once per instruction set; which
// table is used is decided when the backend is made.
namespace grok {

// Tokens that are kept side by side: 12 x 32 columns of sums fill AVX-512's registers, 6 x 16 twice over AVX2's.
inline constexpr int kPanelTokens = 12;

struct StripProduct {
  float* out = nullptr;                  // [num_tokens, kStrip]
  const std::int8_t* weights = nullptr;  // [d_in, kStrip]
  const float* scales = nullptr;         // [num_groups, kStrip]
  const float* panel = nullptr;          // [d_in, num_tokens]
  int num_tokens = 0;                    // 1 .. kPanelTokens
  int d_in = 0;
  int num_groups = 0;
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
  // Each output is summed over d_in in order, whatever num_tokens is: a token's result does not depend on its neighbours.
  void (*strip_product)(const StripProduct& op);
  // Softmax weights are exp(logit - cap): the cap bounds every logit, so no running maximum is needed. A row's sums are
  // taken in the order of positions, whatever rows are beside it.
  void (*page_attention)(const PageAttention& op);
  float (*dot)(const float* a, const float* b, std::size_t size);
  // gate[i] = gelu_tanh(gate[i]) * up[i]. Source: xai-org/grok-1 model.py:DenseBlock (jax.nn.gelu, tanh form)
  void (*gated_gelu)(float* gate, const float* up, std::size_t size);
};

extern const Kernels kPortableKernels;
#if defined(__x86_64__)
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx2Kernels;
#endif

// Those that this CPU runs, best first.
std::vector<const Kernels*> usable_kernels();

}  // namespace grok
