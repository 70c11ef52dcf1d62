#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

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

// One token's query heads that share a kv head, against one page of that head's keys and values.
struct PageAttention {
  float* out = nullptr;           // [num_heads, head_dim], added to
  float* weight_sums = nullptr;   // [num_heads], added to
  const float* q = nullptr;       // [num_heads, head_dim]
  const float* keys = nullptr;    // [num_positions, head_dim]
  const float* values = nullptr;  // [num_positions, head_dim]
  int num_heads = 0;
  int num_positions = 0;  // 1 .. kPageSize
  int head_dim = 0;
  float scale = 0;
  float cap = 0;
};

struct Kernels {
  const char* isa;
  // Each output is summed over d_in in order, whatever num_tokens is: a token's result does not depend on its neighbours.
  void (*strip_product)(const StripProduct& op);
  // Softmax weights are exp(logit - cap): the cap bounds every logit, so no running maximum is needed.
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
