#pragma once

#include <functional>
#include <vector>

#include "backend/backend.h"
#include "model/config.h"
#include "model/weights.h"

namespace grok::model {

// Activations of one step, allocated once for the largest step. Its size is given by its tokens, outputs and layers.
struct Workspace {
  Workspace(Backend& backend, const GrokConfig& config, const StepSize& largest);
  static std::uint64_t size_bytes(const Footprint& footprint, const GrokConfig& config, const StepSize& largest);

  BufferPtr residual, normed, projected;                  // f32 [num_tokens, d_model]
  BufferPtr q, attended;                                  // f32 [num_tokens, num_q_heads * head_dim]
  QuantizedRowsPtr normed_quantized, attended_quantized;  // copies of normed and attended, or null
  BufferPtr router_logits;                                // f32 [num_tokens, num_experts]
  BufferPtr experts;                                      // i32 [num_tokens, experts_per_token]
  BufferPtr gates;                                        // f32 [num_tokens, experts_per_token]
  BufferPtr logits;                                       // f32 [num_outputs, vocab_size]
};

// Receives intermediate tensors during the pass, in the backend's memory. For tests; names are those of the goldens:
// "embed", "attn_out", "router_logits", "moe_out", "hidden", "final_norm". `layer` is -1 outside layers.
using Observer = std::function<void(const char* name, int layer, const float* data, int num_tokens, int width)>;

struct ForwardOptions {
  // Called before each layer: true ends the pass with ErrorCode::cancelled. The batch's cache entries are then
  // undefined.
  std::function<bool()> should_stop = nullptr;
  Observer observer = nullptr;
};

// The forward pass, for every backend. Writes the logits of batch.output_rows to workspace.logits [num_outputs,
// vocab_size], and keys and values of the batch's tokens to kv_layers [num_layers]. Source: model.py:LanguageModel,
// Transformer, DecoderLayer
void forward(const GrokConfig& config, const Weights& weights, const Batch& batch,
             const std::vector<KvPages>& kv_layers, Workspace& workspace, Backend& backend,
             const ForwardOptions& options = {});

}  // namespace grok::model
