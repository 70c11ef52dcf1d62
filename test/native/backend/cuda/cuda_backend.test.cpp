#include "support/restore_emulator.h"
#include "testing.h"

#include <cuda_runtime.h>

#include "backend/cuda/cuda.h"
#include "backend/cuda/cuda_backend.h"
#include "emulator/emulator.h"
#include "support/made_up.h"
#include "support/on_device.h"

using namespace grok;
using namespace grok::cuda;
using namespace grok::testing;

// The errors when CUDA cannot be used, and that an error stays.
TEST("refuses an unsupported number of limbs") {
  CHECK_ERROR(make_backend({.num_limbs = 4}), ErrorCode::invalid_argument, "2 or 3, found 4");
}

TEST(
    "says why CUDA cannot be used, and what to do: no driver, one too old, no device, one too old, no kernels for it") {
  const Restore restore;
  const auto check_refusal = [](const char* reason, const char* remedy) {
    CHECK_EQ(why_no_device(), reason);
    try {
      make_backend({});
      CHECK(!"refused");
    } catch (const Error& error) {
      CHECK(error.code == ErrorCode::cuda_unavailable);
      CHECK_EQ(std::string(error.what()), reason);
      CHECK_EQ(error.hint, std::string(remedy) + " Or use device \"cpu\".");
    }
    emulator::settings() = {};
  };
  CHECK_EQ(why_no_device(), "");
  emulator::settings().driver_version = 0;
  check_refusal("no NVIDIA driver is installed", "Install NVIDIA's driver.");
  emulator::settings().driver_version = 12040;
  check_refusal("the NVIDIA driver is too old: it knows CUDA 12.4, this build needs 13.0",
                "Install a driver for CUDA 13.0 or later.");
  emulator::settings().num_devices = 0;
  check_refusal("the NVIDIA driver sees no device",
                "Check that nvidia-smi lists the device, that CUDA_VISIBLE_DEVICES does not hide it, and that the "
                "container has access to it.");
  emulator::settings().compute_major = 7;
  check_refusal("emulated device has compute capability 7.0, and 8.0 or above is needed",
                "Choose another device with CUDA_VISIBLE_DEVICES.");
  emulator::settings().has_kernels = false;
  check_refusal("this build has no kernels for emulated device (compute capability 9.0)",
                "Configure with -DGROK_CUDA_ARCHS=90 and build.");
  CHECK_EQ(why_no_device(), "");
}

TEST("any other answer of the runtime is passed on, from every caller") {
  const Restore restore;
  for (const char* function :
       {"cudaDriverGetVersion", "cudaGetDeviceCount", "cudaGetDeviceProperties", "cudaFuncGetAttributes"}) {
    emulator::fail(function, cudaErrorIllegalAddress);
    CHECK_ERROR(make_backend({}), ErrorCode::cuda_unavailable, "reports cudaErrorIllegalAddress");
  }
}

TEST("pinned memory that the system refuses is out of memory, and a device that fails at that moment is not") {
  const Restore restore;
  PinnedMemory pinned;
  emulator::fail("cudaMallocHost", cudaErrorMemoryAllocation);
  CHECK_ERROR(pinned.of(1000), ErrorCode::out_of_memory, "the system refused 1000 bytes of pinned memory");
  emulator::fail("cudaMallocHost", cudaErrorIllegalAddress);
  CHECK_ERROR(pinned.of(1000), ErrorCode::device_failed, "an allocation of 1000 bytes of pinned memory");
  CHECK(pinned.of(1000) != nullptr);
  emulator::fail("cudaMalloc", cudaErrorIllegalAddress);
  CHECK_ERROR(DeviceMemory(1000), ErrorCode::device_failed, "an allocation of 1000 bytes: cudaErrorIllegalAddress");
  emulator::fail("cudaMemGetInfo", cudaErrorIllegalAddress);
  CHECK_ERROR(available_bytes(), ErrorCode::device_failed, "querying free memory: cudaErrorIllegalAddress");
}

TEST("a refused allocation reports the requested and the free bytes, and the backend goes on") {
  const Restore restore;
  emulator::settings().memory_bytes = 1 << 20;
  const auto backend = make_backend({});
  const BufferPtr held = backend->allocate(1000);
  CHECK_ERROR(backend->allocate(2 << 20), ErrorCode::out_of_memory,
              "refused 2097152 bytes of memory: 1047576 of 1048576");
  CHECK_EQ(backend->allocate(1000)->size_bytes(), 1000u);
}

TEST("an error of the device stays: every later call is refused with the first error") {
  const Restore restore;
  const auto backend = make_backend({});
  const BufferPtr x = on_device(*backend, random_floats(64, 1));
  const Norm norm{.out = x->as<float>(),
                  .x = x->as<float>(),
                  .weight = x->as<float>(),
                  .num_tokens = 1,
                  .d_model = 64,
                  .eps = 1e-5f};
  backend->norm(norm);
  emulator::fail("cudaStreamSynchronize", cudaErrorIllegalAddress, 1, true);
  std::vector<float> host(64);
  CHECK_ERROR(backend->read(std::span(host), x->as<float>()), ErrorCode::device_failed,
              "waiting for the device: cudaErrorIllegalAddress");
  emulator::heal();  // even if the device seems to work again
  CHECK_ERROR(backend->norm(norm), ErrorCode::device_failed, "cudaErrorIllegalAddress");
  CHECK_ERROR(backend->allocate(1), ErrorCode::device_failed, "cudaErrorIllegalAddress");
  CHECK_ERROR(backend->stage({}), ErrorCode::device_failed, "cudaErrorIllegalAddress");
}

TEST("a launch that fails names the operation") {
  const Restore restore;
  const auto backend = make_backend({});
  const BufferPtr x = on_device(*backend, random_floats(64, 1));
  emulator::fail("cudaLaunchKernelEx", cudaErrorLaunchFailure);
  CHECK_ERROR(backend->norm({.out = x->as<float>(),
                             .x = x->as<float>(),
                             .weight = x->as<float>(),
                             .num_tokens = 1,
                             .d_model = 64,
                             .eps = 1e-5f}),
              ErrorCode::device_failed, "failed at norm: cudaErrorLaunchFailure");
}

TEST("returns all device memory, and reports in advance how much weights take") {
  const Restore restore;
  const std::size_t before = emulator::allocated_bytes();
  {
    const auto backend = make_backend({});
    const MadeUpMatrix made_up(2, 64, 40, 8, 1);
    backend->load_matrix(made_up.view());  // takes scratch, which remains
    const std::size_t without = emulator::allocated_bytes();
    const MatrixPtr matrix = backend->load_matrix(made_up.view());
    // 8 groups of 8 inputs are padded to 32 each, 40 outputs to 48; scales are float32.
    CHECK_EQ(backend->footprint().matrix_bytes(made_up.view()), 2u * (8 * 32 * 48 + 8 * 48 * 4));
    CHECK_EQ(emulator::allocated_bytes() - without, backend->footprint().matrix_bytes(made_up.view()));
  }
  CHECK_EQ(emulator::allocated_bytes(), before);
}

TEST("describes itself for people") {
  CHECK_EQ(make_backend({})->description(), "cuda (emulated device, compute capability 9.0, 2 limbs)");
}

TEST("a batch is copied as it was when it was staged") {
  const auto backend = make_backend({});
  std::vector<std::int32_t> tokens = {1, 2, 3};
  const Batch host{.tokens = tokens.data(), .positions = tokens.data(), .sequences = tokens.data(), .num_tokens = 3};
  const Batch batch = backend->stage(host);
  tokens = {7, 8, 9};
  std::vector<std::int32_t> found(3);
  backend->read(std::span(found), batch.tokens);
  CHECK(found == std::vector<std::int32_t>({1, 2, 3}));
}

TEST("refuses keys that are longer than a warp has registers for") {
  const auto backend = make_backend({});
  CHECK_ERROR(backend->attention({.num_q_heads = 1, .num_kv_heads = 1, .head_dim = 1026}), ErrorCode::unsupported,
              "head_dim to be at most 1024, found 1026");
}

TEST_MAIN()
