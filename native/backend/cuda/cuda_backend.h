#pragma once

#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/activations.h"
#include "backend/cuda/cuda.h"
#include "backend/cuda/device_memory.h"
#include "backend/cuda/footprint.h"
#include "backend/cuda/packed_matrix.h"
#include "backend/cuda/step_graphs.h"
#include "backend/cuda/stream.h"
#include "backend/cuda/upload.h"

namespace grok::cuda {

struct DeviceTraits {
  std::string name;
  int compute_major = 0, compute_minor = 0;
  int num_multiprocessors = 0;
};

// Device 0. Throws cuda_unavailable with why_no_device().
DeviceTraits usable_device();

// The operations on one CUDA device, one file each, as in backend/cpu. All except read() and sample() only launch work
// and return; the device executes it in order. A step whose shape occurs twice is replayed from then on: step_graphs.h.
class CudaBackend final : public Backend {
 public:
  CudaBackend(const Options& options, DeviceTraits traits)
      : options_(options), footprint_(options.num_limbs), traits_(std::move(traits)) {}

  std::string description() const override;
  BufferPtr allocate(std::size_t size_bytes) override;
  QuantizedRowsPtr allocate_quantized(const QuantizedShape& shape) override;
  BufferPtr load_vector(const TensorView& f32) override;
  TablePtr load_table(const TensorView& f32) override;
  MatrixPtr load_matrix(const Linear& stored) override;
  const Footprint& footprint() const override { return footprint_; }
  void reserve_scratch(const StepSize& largest) override;
  Batch stage(const Batch& host) override;
  void read(std::span<float> host, const float* from) override;
  void read(std::span<std::int32_t> host, const std::int32_t* from) override;
  void read_kv(const ReadKv& op) override;

  void step(const std::function<void()>& body) override;
  const StepGraphs& graphs() const { return graphs_; }  // for tests

  void embed(const Embed& op) override;
  void norm(const Norm& op) override;
  void qkv(const Qkv& op) override;
  void attention(const Attention& op) override;
  void attention_out(const AttentionOut& op) override;
  void add_norm(const AddNorm& op) override;
  void route(const Route& op) override;
  void experts(const Experts& op) override;
  void logits(const Logits& op) override;
  void sample(const Sample& op) override;

 private:
  void read_bytes(void* host, const void* from, std::size_t size_bytes);
  void experts_at_once(const Experts& op, const Activations& x);
  void sample_at_once(const Sample& op);
  const float* rotation(int num_positions, int head_dim, float rope_base);

  const Options options_;
  const CudaFootprint footprint_;
  const DeviceTraits traits_;
  Stream stream_{options_.launches_overlap && traits_.compute_major >= 9};
  Upload upload_{stream_};     // of weights
  PinnedMemory pinned_;        // of the current transfer
  DeviceScratch scratch_;      // of the current operation
  PinnedMemory pinned_batch_;  // of the last stage()
  std::unique_ptr<DeviceMemory> batch_;
  StepShape shape_;         // of that batch
  int most_positions_ = 0;  // maximum that reserve_scratch reserved memory for; 0: none
  StepGraphs graphs_;
  std::vector<float> rotation_;  // [positions so far, head_dim / 2, 2]: cosine and sine
  std::unique_ptr<DeviceMemory> device_rotation_;
};

// Returns success if this binary has kernels for device 0.
cudaError_t find_kernels();

}  // namespace grok::cuda
