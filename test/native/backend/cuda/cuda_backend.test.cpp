#include "support/restore_emulator.h"
#include "testing.h"

#include <cuda_runtime.h>

#include "backend/cuda/cuda.h"
#include "backend/cuda/cuda_backend.h"
#include "emulator/emulator.h"
#include "support/made_up.h"
#include "support/on_device.h"

using namespace grok;
using namespace grok::testing;

// What is said when CUDA cannot be used, and that an error stays.
TEST("refuses a number of digits that it does not have") {
  CHECK_ERROR(make_cuda_backend({.num_digits = 4}), ErrorCode::invalid_argument, "2 or 3, found 4");
}

TEST("says why CUDA cannot be used: no driver, a driver too old, no device, a device too old, no kernels for it") {
  const Restore restore;
  CHECK_EQ(why_no_cuda_device(), "");
  emulator::fail("cudaDriverGetVersion", cudaErrorInsufficientDriver);
  CHECK_ERROR(make_cuda_backend({}), ErrorCode::cuda_unavailable, "no NVIDIA driver");
  emulator::fail("cudaGetDeviceCount", cudaErrorInsufficientDriver);
  CHECK_ERROR(make_cuda_backend({}), ErrorCode::cuda_unavailable, "too old: it knows CUDA 13.0");
  emulator::settings().num_devices = 0;
  CHECK_ERROR(make_cuda_backend({}), ErrorCode::cuda_unavailable, "sees no device");
  emulator::settings() = {};
  emulator::settings().compute_major = 7;
  CHECK_ERROR(make_cuda_backend({}), ErrorCode::cuda_unavailable, "has compute capability 7.0, and 8.0 or above");
  emulator::settings() = {};
  emulator::fail("cudaFuncGetAttributes", cudaErrorNoKernelImageForDevice);
  CHECK_ERROR(make_cuda_backend({}), ErrorCode::cuda_unavailable,
              "no kernels for emulated device (compute capability 9.0)");
  CHECK_EQ(why_no_cuda_device(), "");
}

TEST("a refused allocation says how much was asked for and how much is free, and the backend goes on") {
  const Restore restore;
  emulator::settings().memory_bytes = 1 << 20;
  const auto backend = make_cuda_backend({});
  const BufferPtr held = backend->allocate(1000);
  CHECK_ERROR(backend->allocate(2 << 20), ErrorCode::out_of_memory,
              "refused 2097152 bytes of memory: 1047576 of 1048576");
  CHECK_EQ(backend->allocate(1000)->size_bytes(), 1000u);
}

TEST("an error of the device stays: every later call is refused with what went wrong first") {
  const Restore restore;
  const auto backend = make_cuda_backend({});
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
  CHECK_ERROR(backend->read(std::span(host), x->as<float>()), ErrorCode::internal,
              "waiting for the device: cudaErrorIllegalAddress");
  emulator::heal();  // and even if the device seemed well again
  CHECK_ERROR(backend->norm(norm), ErrorCode::internal, "cudaErrorIllegalAddress");
  CHECK_ERROR(backend->allocate(1), ErrorCode::internal, "cudaErrorIllegalAddress");
  CHECK_ERROR(backend->stage({}), ErrorCode::internal, "cudaErrorIllegalAddress");
}

TEST("a launch that fails names the operation") {
  const Restore restore;
  const auto backend = make_cuda_backend({});
  const BufferPtr x = on_device(*backend, random_floats(64, 1));
  emulator::fail("cudaLaunchKernelEx", cudaErrorLaunchFailure);
  CHECK_ERROR(backend->norm({.out = x->as<float>(),
                             .x = x->as<float>(),
                             .weight = x->as<float>(),
                             .num_tokens = 1,
                             .d_model = 64,
                             .eps = 1e-5f}),
              ErrorCode::internal, "failed at norm: cudaErrorLaunchFailure");
}

TEST("gives back all device memory, and says beforehand how much weights take") {
  const Restore restore;
  const std::size_t before = emulator::allocated_bytes();
  {
    const auto backend = make_cuda_backend({});
    const MadeUpMatrix made_up(2, 64, 40, 8, 1);
    backend->load_matrix(made_up.view());  // takes scratch, which stays
    const std::size_t without = emulator::allocated_bytes();
    const MatrixPtr matrix = backend->load_matrix(made_up.view());
    // 8 groups of 8 inputs are padded to 32 each, 40 outputs to 48; scales are float32.
    CHECK_EQ(backend->footprint().matrix_bytes(made_up.view()), 2u * (8 * 32 * 48 + 8 * 48 * 4));
    CHECK_EQ(emulator::allocated_bytes() - without, backend->footprint().matrix_bytes(made_up.view()));
  }
  CHECK_EQ(emulator::allocated_bytes(), before);
}

TEST("describes itself for people") {
  CHECK_EQ(make_cuda_backend({})->description(), "cuda (emulated device, compute capability 9.0, 2 digits)");
}

TEST("a batch is copied as it was when it was staged") {
  const auto backend = make_cuda_backend({});
  std::vector<std::int32_t> tokens = {1, 2, 3};
  const Batch host{.tokens = tokens.data(), .positions = tokens.data(), .sequences = tokens.data(), .num_tokens = 3};
  const Batch batch = backend->stage(host);
  tokens = {7, 8, 9};
  std::vector<std::int32_t> found(3);
  backend->read(std::span(found), batch.tokens);
  CHECK(found == std::vector<std::int32_t>({1, 2, 3}));
}

TEST_MAIN()
