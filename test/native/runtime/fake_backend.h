#pragma once

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "core/error.h"
#include "format/tensor_source.h"
#include "model/haiku_naming.h"
#include "model/weights.h"

// A network whose logits are a plain function of the tokens in the cache, so that tests can check the engine exactly.
// After tokens t0 .. tp, logits[v] = (hash(t0 .. tp) + 7 v) mod 101.
namespace grok::testing {

inline constexpr int kFakeVocabSize = 32;

inline model::GrokConfig fake_config() {
  model::GrokConfig config;
  config.vocab_size = kFakeVocabSize;
  config.context_length = 256;
  config.d_model = 4;
  config.num_layers = 2;
  config.num_q_heads = 1;
  config.num_kv_heads = 1;
  config.head_dim = 4;
  config.d_ff = 4;
  config.embedding_scale = 1;
  config.logit_scale = 1;
  return config;
}

// Sums stay below 2^24, where a float is exact.
inline float next_hash(float hash, float token) { return std::fmod(hash * 31 + token + 1, 10007.0f); }

inline float hash_of(std::span<const std::int32_t> tokens) {
  float hash = 0;
  for (const std::int32_t token : tokens) hash = next_hash(hash, float(token));
  return hash;
}

inline float fake_logit(float hash, int token) { return std::fmod(hash + 7.0f * float(token), 101.0f); }

inline std::int32_t best_after(std::span<const std::int32_t> tokens) {
  std::int32_t best = 0;
  for (int token = 1; token < kFakeVocabSize; ++token)
    if (fake_logit(hash_of(tokens), token) > fake_logit(hash_of(tokens), best)) best = token;
  return best;
}

// The expected result of greedy generation.
inline std::vector<std::int32_t> greedy_after(std::vector<std::int32_t> tokens, int count) {
  std::vector<std::int32_t> generated;
  for (int index = 0; index < count; ++index) {
    generated.push_back(best_after(tokens));
    tokens.push_back(generated.back());
  }
  return generated;
}

struct FakeFootprint final : Footprint {
  std::uint64_t weight_bytes = 0;   // of each matrix; 0: as stored
  std::uint64_t token_scratch = 0;  // of a step, for each of its tokens
  std::uint64_t reserve = 0;

  std::uint64_t matrix_bytes(const Linear& stored) const override {
    return weight_bytes ? weight_bytes : stored.weight.size_bytes();
  }
  std::uint64_t table_bytes(const TensorView& f32) const override { return f32.size_bytes(); }
  std::uint64_t kv_page_bytes(KvCacheType type, int num_kv_heads, int head_dim) const override {
    const std::uint64_t element_bytes = type == KvCacheType::f32 ? 4 : type == KvCacheType::bf16 ? 2 : 1;
    return std::uint64_t(kPageSize) * num_kv_heads * head_dim * element_bytes;
  }
  std::uint64_t scratch_bytes(const StepSize& largest) const override { return largest.num_tokens * token_scratch; }
  std::uint64_t reserve_bytes() const override { return reserve; }
};

class FakeBackend final : public Backend {
 public:
  std::function<void()> on_qkv;         // called for each layer of each step
  std::vector<SampleRow> sampled_rows;  // of the last step; history and bias copied below
  std::vector<std::vector<TokenCount>> sampled_history;
  std::vector<std::vector<TokenBias>> sampled_bias;
  std::vector<int> tokens_in_steps;
  int most_outputs = 0;
  int reserved_tokens = 0;

  std::string description() const override { return "fake"; }

  BufferPtr allocate(std::size_t size_bytes) override { return std::make_unique<HostBuffer>(size_bytes); }
  BufferPtr load_vector(const TensorView& f32) override { return allocate(f32.size_bytes()); }
  TablePtr load_table(const TensorView&) override { return std::make_unique<Table>(); }
  MatrixPtr load_matrix(const Linear&) override { return std::make_unique<Matrix>(); }
  const Footprint& footprint() const override { return footprint_; }
  void reserve_scratch(const StepSize& largest) override { reserved_tokens = largest.num_tokens; }

  Batch stage(const Batch& host) override {
    tokens_in_steps.push_back(host.num_tokens);
    most_outputs = std::max(most_outputs, host.num_outputs);
    return host;
  }
  void read(std::span<float> host, const float* from) override { std::copy_n(from, host.size(), host.begin()); }
  void read(std::span<std::int32_t> host, const std::int32_t* from) override {
    std::copy_n(from, host.size(), host.begin());
  }
  void read_kv(const ReadKv&) override { throw Error(ErrorCode::internal, "no test reads a fake cache"); }

  // The first of a row's d_model values is the token on its way to the cache, then the hash of all tokens so far.
  void embed(const Embed& op) override {
    for (int row = 0; row < op.batch->num_tokens; ++row) op.out[row * 4] = float(op.batch->tokens[row]);
  }
  void norm(const Norm& op) override {
    for (int row = 0; row < op.num_tokens; ++row) op.out[row * op.d_model] = op.x[row * op.d_model];
  }
  void qkv(const Qkv& op) override {
    if (on_qkv) on_qkv();
    for (int row = 0; row < op.batch->num_tokens; ++row)
      *place(op.kv, *op.batch, row, op.batch->positions[row]) = float(op.batch->tokens[row]);
  }
  void attention(const Attention& op) override {
    for (int row = 0; row < op.batch->num_tokens; ++row) {
      float hash = 0;
      for (int position = 0; position <= op.batch->positions[row]; ++position)
        hash = next_hash(hash, *place(op.kv, *op.batch, row, position));
      op.out[row * 4] = hash;
    }
  }
  void attention_out(const AttentionOut& op) override {
    for (int row = 0; row < op.num_tokens; ++row) op.out[row * 4] = op.x[row * 4];
  }
  void add_norm(const AddNorm& op) override {
    for (int row = 0; row < op.num_tokens; ++row) op.out[row * 4] = op.residual[row * 4] = op.y[row * 4];
  }
  void route(const Route&) override {}
  void experts(const Experts& op) override {
    for (int row = 0; row < op.num_tokens; ++row) op.out[row * 4] = op.x[row * 4];
  }
  void logits(const Logits& op) override {
    for (int output = 0; output < op.batch->num_outputs; ++output)
      for (int token = 0; token < kFakeVocabSize; ++token)
        op.out[output * kFakeVocabSize + token] = fake_logit(op.x[op.batch->output_rows[output] * 4], token);
  }
  // Temperature 0 takes the best logit, any other the token that the draw falls on. A "log-probability" is the logit.
  void sample(const Sample& op) override {
    sampled_rows.assign(op.rows, op.rows + op.num_rows);
    sampled_history.clear();
    sampled_bias.clear();
    for (int index = 0; index < op.num_rows; ++index) {
      const SampleRow& row = op.rows[index];
      sampled_history.emplace_back(row.history.begin(), row.history.end());
      sampled_bias.emplace_back(row.bias.begin(), row.bias.end());
      const float* logits = op.logits + index * op.vocab_size;
      std::int32_t token = row.forced;
      if (token < 0 && row.params.temperature > 0) token = std::int32_t(row.uniform * float(op.vocab_size));
      if (token < 0) token = std::int32_t(std::max_element(logits, logits + op.vocab_size) - logits);
      op.out[index] = {.token = token, .logprob = logits[token], .top = {}};
    }
  }

 private:
  struct HostBuffer final : Buffer {
    explicit HostBuffer(std::size_t size_bytes) : bytes(size_bytes) {}
    void* data() const override { return const_cast<std::byte*>(bytes.data()); }
    std::size_t size_bytes() const override { return bytes.size(); }
    std::vector<std::byte> bytes;
  };

  const FakeFootprint footprint_;

  static float* place(const KvPages& kv, const Batch& batch, int row, int position) {
    const int page = batch.page_tables[batch.sequences[row] * batch.max_pages + position / kPageSize];
    return reinterpret_cast<float*>(kv.keys) + (page * kPageSize + position % kPageSize) * 4;
  }
};

// Parameters of the right names and shapes, and no bytes.
class FakeSource final : public format::TensorSource {
 public:
  explicit FakeSource(const model::GrokConfig& config) {
    const auto size = std::uint64_t(config.d_model), experts = std::uint64_t(config.num_experts);
    for (const std::string& name : model::haiku_names(config.num_layers)) {
      format::StoredParameter parameter{.name = name, .file = "fake", .weight = {}, .scales = {}};
      const auto contains = [&](const char* part) { return name.find(part) != std::string::npos; };
      if (contains("/moe/"))
        parameter.weight = {.dtype = DType::i8, .shape = {experts, size, size}};
      else if (contains("/multi_head_attention/"))
        parameter.weight = {.dtype = DType::i8, .shape = {size, size}};
      else if (contains("/router/"))
        parameter.weight.shape = {size, experts};
      else if (contains("embeddings"))
        parameter.weight.shape = {std::uint64_t(config.vocab_size), size};
      else
        parameter.weight.shape = {size};
      if (parameter.weight.dtype == DType::i8) {
        Shape scales = parameter.weight.shape;
        scales[scales.size() - 2] = 1;
        parameter.scales = {.dtype = DType::bf16, .shape = scales};
      }
      parameter.weight.source = &nothing_;
      if (parameter.scales) parameter.scales->source = &nothing_;
      parameters_.push_back(parameter);
    }
  }

  const std::vector<format::StoredParameter>& parameters() const override { return parameters_; }
  std::uint64_t size_bytes() const override { return 0; }
  std::string description() const override { return "fake"; }

 private:
  struct Nothing final : ByteSource {
    void read(std::uint64_t, std::span<std::byte>) const override {}
  };
  Nothing nothing_;
  std::vector<format::StoredParameter> parameters_;
};

}  // namespace grok::testing
