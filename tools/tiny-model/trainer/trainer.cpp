// The functions that ../native.py calls.

#include <sys/syscall.h>
#include <unistd.h>

#include <memory>

#include "muon.h"
#include "network.h"

namespace {

bool may_use_tiles() {
  constexpr int request_permission = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

// Sets the shapes of the tile registers during a call. Other libraries set their own.
class Tiles {
 public:
  explicit Tiles(bool wanted) : wanted_(wanted) {
    alignas(64) std::uint8_t config[64] = {1};
    for (int tile = 0; tile < 8; tile++) {
      config[16 + 2 * tile] = 64;  // bytes in a row
      config[48 + tile] = 16;      // rows
    }
    if (wanted_) _tile_loadconfig(config);
  }
  ~Tiles() {
    if (wanted_) _tile_release();
  }

 private:
  bool wanted_;
};

class Trainer {
 public:
  virtual ~Trainer() = default;
  virtual void set_weights(const Parameters& parameters) = 0;
  virtual void run(const std::int64_t* ids, const std::int64_t* targets, std::size_t num_rows,
                   const LossFactors* factors, float* result) = 0;
  virtual void take_gradients(const Parameters& weights, const Parameters& gradients) = 0;
  virtual void step_muon(float* weight, float* momentum, const float* gradient, std::size_t count, std::size_t d_in,
                         std::size_t d_out, float learning_rate, float weight_decay) = 0;
};

template <class T>
class TrainerOf : public Trainer {
 public:
  TrainerOf(std::size_t num_layers, std::size_t most_rows, std::size_t context)
      : network_(num_layers, most_rows, context) {}
  void set_weights(const Parameters& parameters) override { network_.set_weights(parameters); }
  void run(const std::int64_t* ids, const std::int64_t* targets, std::size_t num_rows, const LossFactors* factors,
           float* result) override {
    const Tiles tiles(in_bf16);
    network_.run(ids, targets, num_rows, factors, result);
  }
  void take_gradients(const Parameters& weights, const Parameters& gradients) override {
    network_.take_gradients(weights, gradients);
  }
  void step_muon(float* weight, float* momentum, const float* gradient, std::size_t count, std::size_t d_in,
                 std::size_t d_out, float learning_rate, float weight_decay) override {
    const Tiles tiles(in_bf16);
    muon_.step(weight, momentum, gradient, count, d_in, d_out, learning_rate, weight_decay);
  }

 private:
  static constexpr bool in_bf16 = std::is_same_v<T, bf16>;
  Network<T> network_;
  Muon<T> muon_;
};

}  // namespace

// One call of a trainer at a time.
extern "C" {

Trainer* trainer_create(std::size_t num_layers, std::size_t most_rows, std::size_t context, bool in_bf16) {
  if (!in_bf16) return new TrainerOf<float>(num_layers, most_rows, context);
  return may_use_tiles() ? new TrainerOf<bf16>(num_layers, most_rows, context) : nullptr;
}
void trainer_set_weights(Trainer* trainer, float* const* parameters) { trainer->set_weights(Parameters(parameters)); }
void trainer_losses(Trainer* trainer, const std::int64_t* ids, const std::int64_t* targets, std::size_t num_rows,
                    float* result) {
  trainer->run(ids, targets, num_rows, nullptr, result);
}
void trainer_add_gradients(Trainer* trainer, const std::int64_t* ids, const std::int64_t* targets, std::size_t num_rows,
                           float text, float balance, float router_z, float* result) {
  const LossFactors factors{text, balance, router_z};
  trainer->run(ids, targets, num_rows, &factors, result);
}
void trainer_take_gradients(Trainer* trainer, float* const* weights, float* const* gradients) {
  trainer->take_gradients(Parameters(weights), Parameters(gradients));
}
void trainer_step_muon(Trainer* trainer, float* weight, float* momentum, const float* gradient, std::size_t count,
                       std::size_t d_in, std::size_t d_out, float learning_rate, float weight_decay) {
  trainer->step_muon(weight, momentum, gradient, count, d_in, d_out, learning_rate, weight_decay);
}
}
