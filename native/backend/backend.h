#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/tensor.h"

// THE CONTRACT. The operations that a device must provide to run Grok-1: one struct per operation, with shapes and its
// source line in xai-org/grok-1 (docs/REFERENCES.md). backend/cpu and backend/cuda implement the same list, file by file.
//
// Shapes are row-major with the last axis contiguous. The tokens of all sequences lie one after another ("ragged"),
// without a batch axis or padding. So one forward pass serves prefill, decode and a mixture of both. Pointers refer to
// the backend's own memory unless the field says host. Sums are fp32 or exact.
namespace grok {

// ---------------------------------------------------------------- memory

// A block of the backend's memory, given back on destruction.
class Buffer {
 public:
  virtual ~Buffer() = default;
  virtual void* data() const = 0;
  virtual std::size_t size_bytes() const = 0;
  template <typename T>
  T* as() const {
    return static_cast<T*>(data());
  }
};
using BufferPtr = std::unique_ptr<Buffer>;

// An int8 matrix (or one per expert) with its scales, in whatever layout the backend computes fastest from.
class Matrix {
 public:
  virtual ~Matrix() = default;
};
using MatrixPtr = std::unique_ptr<Matrix>;

// The token embedding: rows for `embed`, and the tied head for `logits`.
class Table {
 public:
  virtual ~Table() = default;
};
using TablePtr = std::unique_ptr<Table>;

// Quantized copy of rows of activations, in the form that the backend's products multiply. The operation that writes the
// rows also writes the copy, and a product that reads the rows reads the copy instead. A null pointer means that there is
// no copy. A backend may limit the rows of a copy: an operation on more rows neither writes nor reads it.
class QuantizedRows {
 public:
  virtual ~QuantizedRows() = default;
};
using QuantizedRowsPtr = std::unique_ptr<QuantizedRows>;

// The largest rows that a copy has room for.
struct QuantizedShape {
  int num_rows = 0;
  int width = 0;
  int num_groups = 1;  // scale groups along the input of the matrices that will multiply the rows
};

// Storage of matrices. packed: copied into the layout that products read fastest. mapped: left in the file and read
// there by each product.
enum class WeightStorage { packed, mapped };

constexpr const char* name_of(WeightStorage storage) { return storage == WeightStorage::packed ? "packed" : "mapped"; }

// Tokens a page of the KV cache holds.
inline constexpr int kPageSize = 64;

// Element type of the cache. bf16 is rounded to nearest, ties to even. int8 is round(x / scale); the scale, max |x| /
// 127 of each position and kv head, is stored beside it as f32. Arithmetic is f32 for every type.
enum class KvCacheType { f32, bf16, int8 };

constexpr const char* name_of(KvCacheType type) {
  return type == KvCacheType::f32 ? "f32" : type == KvCacheType::bf16 ? "bf16" : "int8";
}

// Keys and values of one layer, in pages that sequences own. The layout of a page is private to the backend:
// `Footprint::kv_page_bytes` gives its size and `Backend::read_kv` its contents.
struct KvPages {
  std::byte* keys = nullptr;    // [num_pages], kPageSize positions each, after rotation
  std::byte* values = nullptr;  // [num_pages], kPageSize positions each
  KvCacheType type = KvCacheType::f32;
};

// The tokens of one step. `Backend::stage` copies a batch from host memory to the backend's memory.
struct Batch {
  const std::int32_t* tokens = nullptr;       // [num_tokens] ids
  const std::int32_t* positions = nullptr;    // [num_tokens] position in its sequence, from 0
  const std::int32_t* sequences = nullptr;    // [num_tokens] row of page_tables
  const std::int32_t* page_tables = nullptr;  // [num_sequences, max_pages]: page of positions kPageSize*i ..
  const std::int32_t* output_rows = nullptr;  // [num_outputs] rows of [num_tokens] whose logits are computed
  int num_tokens = 0;
  int num_sequences = 0;
  int max_pages = 0;
  int num_outputs = 0;
};

// ---------------------------------------------------------------- operations

// out = row of the table * scale. Source: model.py:LanguageModel (embedding_multiplier_scale)
struct Embed {
  float* out = nullptr;  // [num_tokens, d_model]
  const Table* table = nullptr;
  const Batch* batch = nullptr;
  float scale = 1;
};

// out = x / sqrt(mean(x^2) + eps) * weight. Source: model.py:RMSNorm
struct Norm {
  float* out = nullptr;                    // [num_tokens, d_model]
  QuantizedRows* out_quantized = nullptr;  // the copy of out to fill
  const float* x = nullptr;                // [num_tokens, d_model]
  const float* weight = nullptr;           // [d_model]
  int num_tokens = 0;
  int d_model = 0;
  float eps = 0;
};

// q = rotate(x Wq); rotate(x Wk) and x Wv are written to each token's place in the cache. Rotation is half-split: (a,
// b) -> (a cos - b sin, b cos + a sin) with b half a head after a, and angle = position * rope_base^(-2i/head_dim).
// Source: model.py:MultiHeadAttention, RotaryEmbedding
struct Qkv {
  float* q = nullptr;  // [num_tokens, num_q_heads, head_dim]
  KvPages kv = {};
  const float* x = nullptr;                    // [num_tokens, d_model]
  const QuantizedRows* x_quantized = nullptr;  // the copy of x
  const Matrix* w_q = nullptr;                 // [d_model, num_q_heads * head_dim]
  const Matrix* w_k = nullptr;                 // [d_model, num_kv_heads * head_dim]
  const Matrix* w_v = nullptr;                 // [d_model, num_kv_heads * head_dim]
  const Batch* batch = nullptr;
  int num_q_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  float rope_base = 0;
};

// out = softmax(cap * tanh(scale * q k / cap)) v over the positions 0 .. own of the token's sequence. Query head h reads
// kv head h / (num_q_heads / num_kv_heads). Source: model.py:MultiHeadAttention (logits capped before the mask)
struct Attention {
  float* out = nullptr;                    // [num_tokens, num_q_heads, head_dim]
  QuantizedRows* out_quantized = nullptr;  // the copy of out to fill
  const float* q = nullptr;                // [num_tokens, num_q_heads, head_dim]
  KvPages kv = {};
  const Batch* batch = nullptr;
  int num_q_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  float scale = 0;
  float cap = 0;
};

// Reads one position of the cache as f32. Blocks until the values are in host memory.
struct ReadKv {
  float* key = nullptr;    // host [num_kv_heads, head_dim]
  float* value = nullptr;  // host [num_kv_heads, head_dim]
  KvPages kv = {};
  int page = 0;
  int position_in_page = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
};

// out = x Wo. Source: model.py:MultiHeadAttention (final projection)
struct AttentionOut {
  float* out = nullptr;                        // [num_tokens, d_model]
  const float* x = nullptr;                    // [num_tokens, num_q_heads * head_dim]
  const QuantizedRows* x_quantized = nullptr;  // the copy of x
  const Matrix* w = nullptr;                   // [num_q_heads * head_dim, d_model], scale groups along its input
  int num_tokens = 0;
};

// residual += norm(y, post_weight); out = norm(residual, pre_weight). Source: model.py:DecoderLayer
struct AddNorm {
  float* residual = nullptr;               // [num_tokens, d_model]
  float* out = nullptr;                    // [num_tokens, d_model]
  QuantizedRows* out_quantized = nullptr;  // the copy of out to fill
  const float* y = nullptr;                // [num_tokens, d_model]
  const float* post_weight = nullptr;      // [d_model]
  const float* pre_weight = nullptr;       // [d_model]
  int num_tokens = 0;
  int d_model = 0;
  float eps = 0;
};

// Softmax over all experts, then the best experts_per_token, not renormalised; ties go to the lower id. Source:
// model.py:Router
struct Route {
  std::int32_t* experts = nullptr;  // [num_tokens, experts_per_token], best first
  float* gates = nullptr;           // [num_tokens, experts_per_token]
  float* logits = nullptr;          // [num_tokens, num_experts]
  const float* x = nullptr;         // [num_tokens, d_model]
  const float* router = nullptr;    // [d_model, num_experts]
  int num_tokens = 0;
  int d_model = 0;
  int num_experts = 0;
  int experts_per_token = 0;
};

// out = sum over the token's experts of gate * down(gelu_tanh(gate(x)) * up(x)). Source: model.py:MoELayer, DenseBlock
struct Experts {
  float* out = nullptr;                        // [num_tokens, d_model]
  const float* x = nullptr;                    // [num_tokens, d_model]
  const QuantizedRows* x_quantized = nullptr;  // the copy of x
  const std::int32_t* experts = nullptr;       // [num_tokens, experts_per_token]
  const float* gates = nullptr;                // [num_tokens, experts_per_token]
  const Matrix* w_gate = nullptr;              // [num_experts, d_model, d_ff]
  const Matrix* w_up = nullptr;                // [num_experts, d_model, d_ff]
  const Matrix* w_down = nullptr;              // [num_experts, d_ff, d_model], scale groups along its input
  int num_tokens = 0;
  int experts_per_token = 0;
};

// out = x table^T * scale for the output rows. Source: model.py:LanguageModel (tied head, output_multiplier_scale)
struct Logits {
  float* out = nullptr;                        // [num_outputs, vocab_size]
  const float* x = nullptr;                    // [num_tokens, d_model], after the final norm
  const QuantizedRows* x_quantized = nullptr;  // the copy of x
  const Table* table = nullptr;
  const Batch* batch = nullptr;
  float scale = 1;
};

struct TokenCount {
  std::int32_t token = 0;
  std::int32_t generated = 0;  // number of times it was generated; 0: it occurs in the prompt only
};

struct TokenBias {
  std::int32_t token = 0;
  float bias = 0;
};

// The limits of lib/options/option.ts.
inline constexpr float kMostFloat = 3.4e38f, kLeastFloat = 1e-38f;
inline constexpr std::int32_t kMostInt32 = 0x7fffffff;

// The sampling options of one request, with their neutral values.
struct SamplingParams {
#define OPTION(type, name, neutral, ...) type name = neutral;
#include "backend/sampling_options.inc"
#undef OPTION
  std::int32_t num_logprobs = 0;  // number of the likeliest tokens to report
};

// The step that an option belongs to. Penalties need the tokens seen so far.
enum class OptionKind { draw, penalty };

template <typename Value>
struct SamplingOption {
  const char* name;
  Value neutral, smallest, largest;
  OptionKind kind;
};

// Calls visit(option, value) for each sampling option, with the value's place in `params`.
template <typename Params, typename Visit>
void for_each_option(Params& params, const Visit& visit) {
#define OPTION(type, name, neutral, smallest, largest, kind) \
  visit(SamplingOption<type>{#name, neutral, smallest, largest, OptionKind::kind}, params.name);
#include "backend/sampling_options.inc"
#undef OPTION
}

// Turns one row of logits into a token. The order is: bias, repetition, presence and frequency penalties, temperature,
// top_k, top_p, min_p, draw.
struct SampleRow {
  SamplingParams params = {};
  float uniform = 0;                         // random number of the draw, in [0, 1)
  std::int32_t forced = -1;                  // >= 0: return this token; only its log-probability is computed
  std::span<const TokenCount> history = {};  // host
  std::span<const TokenBias> bias = {};      // host
};

struct TokenLogprob {
  std::int32_t token = 0;
  float logprob = 0;  // natural logarithm
};

// Log-probabilities are of the model's own distribution: softmax of the logits before bias, penalties and temperature.
// A NaN or infinity among a row's logits makes its log-probabilities NaN.
struct SampledToken {
  std::int32_t token = 0;
  float logprob = 0;
  std::vector<TokenLogprob> top = {};  // [num_logprobs], likeliest first
};

// Blocks until the results are in host memory.
struct Sample {
  SampledToken* out = nullptr;      // host [num_rows]
  const float* logits = nullptr;    // [num_rows, vocab_size]
  const SampleRow* rows = nullptr;  // host [num_rows]
  int num_rows = 0;
  int vocab_size = 0;
};

// ---------------------------------------------------------------- memory requirements

// The matrices of one layer, as they are stored.
struct LayerViews {
  Linear w_q, w_k, w_v, w_o;
  Linear w_gate, w_up, w_down;
};

// Limits of the largest step.
struct StepSize {
  int num_tokens = 0;  // of all sequences
  int num_sequences = 0;
  int num_outputs = 0;
  int num_positions = 0;  // of the longest sequence, once it is full
  int num_q_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  int experts_per_token = 0;
  int vocab_size = 0;
  std::span<const LayerViews> layers = {};
};

// Memory requirements of a backend, computed from shapes alone: reads no data and needs no device.
class Footprint {
 public:
  virtual ~Footprint() = default;

  // Shown to people: "memory", "GPU memory".
  virtual std::string memory_name() const { return "memory"; }
  virtual bool can_map_weights() const { return true; }

  // Bytes that load_matrix and load_table allocate.
  virtual std::uint64_t matrix_bytes(const Linear& stored) const = 0;
  virtual std::uint64_t table_bytes(const TensorView& f32) const = 0;
  // Bytes that a product with the matrix reads, packed or mapped.
  virtual std::uint64_t product_bytes(const Linear& stored) const { return matrix_bytes(stored); }
  // Bytes of the table that `logits` reads.
  virtual std::uint64_t head_bytes(const TensorView& f32) const { return table_bytes(f32); }

  // Bytes of the keys of one page in one layer. The values take as much again.
  virtual std::uint64_t kv_page_bytes(KvCacheType type, int num_kv_heads, int head_dim) const = 0;

  // Bytes that allocate_quantized takes.
  virtual std::uint64_t quantized_bytes(const QuantizedShape&) const { return 0; }
  // Bytes that operations need while they run, for any step up to this size.
  virtual std::uint64_t scratch_bytes(const StepSize& largest) const = 0;
  // Bytes that must stay free beside all allocations.
  virtual std::uint64_t reserve_bytes() const { return 0; }
};

// ---------------------------------------------------------------- the device

class Backend {
 public:
  virtual ~Backend() = default;

  // Shown to people: "cpu (avx2, 2 threads)".
  virtual std::string description() const = 0;

  virtual BufferPtr allocate(std::size_t size_bytes) = 0;  // contents undefined; throws out_of_memory
  // Null if the backend's products always quantize their input themselves. Throws out_of_memory.
  virtual QuantizedRowsPtr allocate_quantized(const QuantizedShape&) { return nullptr; }
  virtual BufferPtr load_vector(const TensorView& f32) = 0;
  virtual TablePtr load_table(const TensorView& f32) = 0;  // [vocab_size, d_model]
  // The matrix may keep reading its weights from the source, which must then outlive it. The scales are read before the
  // return.
  virtual MatrixPtr load_matrix(const Linear& stored) = 0;

  virtual const Footprint& footprint() const = 0;
  // Allocates footprint().scratch_bytes(largest) at once, so that no step up to this size allocates. Throws
  // out_of_memory.
  virtual void reserve_scratch(const StepSize& largest) = 0;

  // Copies the batch to the backend's memory. The result is valid until the next stage().
  virtual Batch stage(const Batch& host) = 0;
  // Copies to host memory after all earlier operations have finished.
  virtual void read(std::span<float> host, const float* from) = 0;
  virtual void read(std::span<std::int32_t> host, const std::int32_t* from) = 0;
  virtual void read_kv(const ReadKv& op) = 0;

  // Runs `body`, which issues the operations of one step on the last staged batch. A backend may capture them (as a
  // CUDA graph) and replay the capture for later batches with as many tokens and outputs, without calling `body`. So
  // `body` must issue the same operations on the same buffers every time, and must not call read(). Any allocation
  // invalidates captures.
  virtual void step(const std::function<void()>& body) { body(); }

  virtual void embed(const Embed& op) = 0;
  virtual void norm(const Norm& op) = 0;
  virtual void qkv(const Qkv& op) = 0;
  virtual void attention(const Attention& op) = 0;
  virtual void attention_out(const AttentionOut& op) = 0;
  virtual void add_norm(const AddNorm& op) = 0;
  virtual void route(const Route& op) = 0;
  virtual void experts(const Experts& op) = 0;
  virtual void logits(const Logits& op) = 0;
  virtual void sample(const Sample& op) = 0;
};

}  // namespace grok
