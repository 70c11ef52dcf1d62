// Losses and gradients of the network of ../model.py. T is the type of operands and of activations that are kept.

#pragma once

#include "attention.h"
#include "head.h"
#include "weights.h"

struct LossFactors {
  float text, balance, router_z;
};

template <class T>
class Network {
 public:
  Network(std::size_t num_layers, std::size_t most_rows, std::size_t context)
      : context_(context),
        rotation_(context),
        attention_(rotation_),
        experts_(most_rows * context),
        layers_(num_layers),
        sums_(num_layers),
        embeddings_(vocab_size * d_model),
        embedding_rows_(vocab_size * d_model),
        embedding_columns_(vocab_size * d_model),
        head_sums_(vocab_size * d_model),
        embedding_sums_(vocab_size * d_model),
        fold_scratch_(vocab_size * d_model),
        final_rows_(most_rows * context * d_model),
        final_factors_(most_rows * context),
        h_(most_rows * context * d_model),
        gradient_(most_rows * context * d_model),
        branch_gradient_(most_rows * context * d_model),
        mixed_gradient_(most_rows * context * d_model),
        qkv_gradient_(most_rows * context * qkv_width) {
    for (std::size_t layer = 0; layer < num_layers; layer++) kept_.emplace_back(most_rows * context);
  }

  void set_weights(const Parameters& parameters) {
    for (std::size_t layer = 0; layer < layers_.size(); layer++)
      layers_[layer].set(parameters.layers[layer], fold_scratch_);
    std::memcpy(embeddings_, parameters.embeddings, embeddings_.size() * sizeof(float));
    const Row scale = scaled(load_row(parameters.final_norm), logit_scale);
    for (std::size_t i = 0; i < vocab_size; i++)
      store_row(fold_scratch_ + i * d_model, product(load_row(embeddings_ + i * d_model), scale));
    pack(embedding_rows_, fold_scratch_, d_model, vocab_size, d_model);
    pack_transposed(embedding_columns_, fold_scratch_, d_model, d_model, vocab_size);
  }

  // ids, targets [num_rows, context]. result: the three losses, then the loads [num_layers, num_experts]. Adds to the
  // gradients unless `factors` is null.
  void run(const std::int64_t* ids, const std::int64_t* targets, std::size_t num_rows, const LossFactors* factors,
           float* result) {
    const std::size_t num_tokens = num_rows * context_;
    for (std::size_t token = 0; token < num_tokens; token++)
      store_row(h_ + token * d_model, scaled(load_row(embeddings_ + ids[token] * d_model), embedding_scale));
    result[1] = result[2] = 0;
    for (std::size_t layer = 0; layer < layers_.size(); layer++) {
      forward(layers_[layer], kept_[layer], num_rows);
      const Routing<T>& routing = kept_[layer].routing;
      result[1] += routing.balance() / float(layers_.size());
      result[2] += routing.router_z() / float(layers_.size());
      for (std::size_t expert = 0; expert < num_experts; expert++)
        result[3 + layer * num_experts + expert] = routing.load(expert);
    }
    const Norm<T> norm{final_rows_, final_factors_};
    for (std::size_t token = 0; token < num_tokens; token++) norm.forward(token, load_row(h_ + token * d_model));
    const float factor = factors ? factors->text / float(num_tokens) : 0;
    const double nats = head_.run(final_rows_, targets, num_tokens, embedding_columns_, embedding_rows_, factor,
                                  factors ? static_cast<float*>(gradient_) : nullptr, head_sums_);
    result[0] = float(nats / double(num_tokens));
    if (!factors) return;

    for (std::size_t token = 0; token < num_tokens; token++) {
      float* row = gradient_ + token * d_model;
      store_row(row, norm.backward(token, load_row(row)));
    }
    for (std::size_t layer = layers_.size(); layer-- > 0;)
      backward(layers_[layer], kept_[layer], sums_[layer], num_rows, *factors);
    for (std::size_t token = 0; token < num_tokens; token++) {
      float* row = embedding_sums_ + ids[token] * d_model;
      const Row gradient = scaled(load_row(gradient_ + token * d_model), embedding_scale);
      for (std::size_t i = 0; i < row_vectors; i++)
        store16(row + 16 * i, _mm512_add_ps(load16(row + 16 * i), gradient[i]));
    }
  }

  // Fills the gradients with what run() added since the last call.
  void take_gradients(const Parameters& weights, const Parameters& gradients) {
    for (std::size_t layer = 0; layer < layers_.size(); layer++)
      sums_[layer].take(weights.layers[layer], gradients.layers[layer]);
    const Row scale = scaled(load_row(weights.final_norm), logit_scale);
    Row scale_gradient{};
    for (std::size_t i = 0; i < vocab_size * d_model; i += d_model) {
      const Row sum = load_row(head_sums_ + i);
      scale_gradient = sum_of_product(sum, load_row(weights.embeddings + i), scale_gradient);
      store_row(gradients.embeddings + i, sum_of_product(sum, scale, load_row(embedding_sums_ + i)));
    }
    store_row(gradients.final_norm, scaled(scale_gradient, logit_scale));
    head_sums_.clear();
    embedding_sums_.clear();
  }

 private:
  // Values of a layer's forward pass that its backward pass reads.
  struct Kept {
    Buffer<T> before_attention, qkv, mixed, after_attention, before_experts, after_experts;
    Buffer<float> factors, inverse_sums;  // factors [4, num_tokens]
    Routing<T> routing;
    Norm<T> norms[4];

    explicit Kept(std::size_t num_tokens)
        : before_attention(num_tokens * d_model),
          qkv(num_tokens * qkv_width),
          mixed(num_tokens * d_model),
          after_attention(num_tokens * d_model),
          before_experts(num_tokens * d_model),
          after_experts(num_tokens * d_model),
          factors(4 * num_tokens),
          inverse_sums(num_q_heads * num_tokens),
          routing(num_tokens),
          norms{{before_attention, factors},
                {after_attention, factors + num_tokens},
                {before_experts, factors + 2 * num_tokens},
                {after_experts, factors + 3 * num_tokens}} {}
  };

  // Products of 32 rows, d_model columns wide, then `take_row` with each.
  template <class TakeRow>
  void multiply_rows(const T* x, std::size_t x_width, std::size_t num_tokens, const T* matrix, TakeRow take_row) {
    alignas(64) float rows[block * d_model];
    for (std::size_t first = 0; first < num_tokens; first += block) {
      multiply(row_major(x + first * x_width, x_width), block, Right<T>{matrix, x_width}, d_model, x_width,
               [&](std::size_t, std::size_t column, const float* result) {
                 for (std::size_t i = 0; i < block; i++)
                   store32(rows + i * d_model + column, load16(result + i * block), load16(result + i * block + 16));
               });
      for (std::size_t i = 0; i < block; i++) take_row(first + i, load_row(rows + i * d_model));
    }
  }

  void forward(const LayerWeights<T>& weights, Kept& kept, std::size_t num_rows) {
    const std::size_t num_tokens = num_rows * context_;
    for (std::size_t token = 0; token < num_tokens; token++)
      kept.norms[0].forward(token, load_row(h_ + token * d_model));
    multiply(row_major<T>(kept.before_attention, d_model), num_tokens, Right<T>{weights.qkv.forward, d_model},
             qkv_width, d_model, [&](std::size_t row, std::size_t column, const float* result) {
               for (std::size_t i = 0; i < block; i++) {
                 __m512 first = load16(result + i * block), second = load16(result + i * block + 16);
                 if (column < first_value) rotation_.apply(first, second, (row + i) % context_, column, 1);
                 store32(kept.qkv + (row + i) * qkv_width + column, first, second);
               }
             });
    for (std::size_t token = 0; token < num_tokens; token += context_)
      attention_.forward(kept.qkv + token * qkv_width, kept.mixed + token * d_model,
                         kept.inverse_sums + token * num_q_heads);
    const Row attention_scale = load_row<float>(weights.after_attention);
    multiply_rows(kept.mixed, d_model, num_tokens, weights.linear.forward, [&](std::size_t token, const Row& row) {
      float* h = h_ + token * d_model;
      const Row sum = sum_of_product(kept.norms[1].forward(token, row), attention_scale, load_row(h));
      store_row(h, sum);
      kept.norms[2].forward(token, sum);
    });
    kept.routing.choose(kept.before_experts, num_tokens, weights.router);
    experts_.forward(kept.before_experts, kept.routing, weights.experts);
    const Row experts_scale = load_row<float>(weights.after_experts);
    for (std::size_t token = 0; token < num_tokens; token++) {
      float* h = h_ + token * d_model;
      const Row normed = kept.norms[3].forward(token, experts_.output(kept.routing, token));
      store_row(h, sum_of_product(normed, experts_scale, load_row(h)));
    }
  }

  void backward(const LayerWeights<T>& weights, Kept& kept, LayerSums& sums, std::size_t num_rows,
                const LossFactors& factors) {
    const std::size_t num_tokens = num_rows * context_;
    const float per_layer = 1 / float(layers_.size());
    experts_.begin_backward();
    for (std::size_t token = 0; token < num_tokens; token++) {
      const Row gradient = kept.norms[3].backward(token, load_row(gradient_ + token * d_model), weights.after_experts,
                                                  sums.after_experts);
      experts_.take_gradient(kept.routing, token, gradient, factors.balance * per_layer, factors.router_z * per_layer);
    }
    experts_.backward(kept.before_experts, kept.routing, weights.experts, sums.gate_up, sums.down, outer_);
    for (std::size_t token = 0; token < num_tokens; token++) {
      const Row input = experts_.input_gradient(kept.before_experts, kept.routing, token, weights.router, sums.router);
      const Row gradient = add_to_gradient(token, kept.norms[2].backward(token, input));
      store_row(branch_gradient_ + token * d_model,
                kept.norms[1].backward(token, gradient, weights.after_attention, sums.after_attention));
    }
    outer_.add(sums.linear, kept.mixed, d_model, branch_gradient_, d_model, num_tokens);
    multiply_rows(branch_gradient_, d_model, num_tokens, weights.linear.transposed,
                  [&](std::size_t token, const Row& row) { store_row(mixed_gradient_ + token * d_model, row); });
    for (std::size_t token = 0; token < num_tokens; token += context_)
      attention_.backward(kept.qkv + token * qkv_width, kept.mixed + token * d_model,
                          kept.inverse_sums + token * num_q_heads, mixed_gradient_ + token * d_model,
                          qkv_gradient_ + token * qkv_width);
    outer_.add(sums.qkv, kept.before_attention, d_model, qkv_gradient_, qkv_width, num_tokens);
    multiply_rows(qkv_gradient_, qkv_width, num_tokens, weights.qkv.transposed, [&](std::size_t token, const Row& row) {
      add_to_gradient(token, kept.norms[0].backward(token, row));
    });
  }

  Row add_to_gradient(std::size_t token, const Row& more) {
    float* at = gradient_ + token * d_model;
    Row sum = load_row(at);
    for (std::size_t i = 0; i < row_vectors; i++) sum[i] = _mm512_add_ps(sum[i], more[i]);
    store_row(at, sum);
    return sum;
  }

  std::size_t context_;
  Rotation rotation_;
  Attention<T> attention_;
  Experts<T> experts_;
  OuterProduct<T> outer_;
  Head<T> head_;
  std::vector<LayerWeights<T>> layers_;
  std::vector<LayerSums> sums_;
  std::vector<Kept> kept_;
  Buffer<float> embeddings_;
  Buffer<T> embedding_rows_, embedding_columns_;
  Buffer<float> head_sums_, embedding_sums_;
  Buffer<T> fold_scratch_;
  Buffer<T> final_rows_;
  Buffer<float> final_factors_;
  Buffer<float> h_, gradient_;
  Buffer<T> branch_gradient_, mixed_gradient_, qkv_gradient_;
};
