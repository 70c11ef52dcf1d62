#include "backend/cuda/upload.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "backend/cuda/cuda.h"
#include "emulator/emulator.h"
#include "support/made_up.h"
#include "support/restore_emulator.h"
#include "testing.h"

using namespace grok;
using namespace grok::cuda;
using namespace grok::testing;

// The emulated device copies as late as possible, so a part that is overwritten too early becomes visible.
namespace {

constexpr std::size_t kPartBytes = 1000;
constexpr int kNumParts = 10;

void send(Upload& upload, const DeviceMemory& to, int part) {
  std::memset(upload.next(kPartBytes), part, kPartBytes);
  upload.send(to.as<std::byte>() + part * kPartBytes, kPartBytes);
}

bool has_arrived(const DeviceMemory& to, int part) {
  const auto* bytes = to.as<unsigned char>() + part * kPartBytes;
  return std::all_of(bytes, bytes + kPartBytes, [&](unsigned char byte) { return byte == part; });
}

}  // namespace

TEST("parts are not awaited one by one, and arrive as they were sent") {
  Stream stream{false};
  Upload upload(stream);
  const DeviceMemory to(kNumParts * kPartBytes);
  for (int part = 0; part < Upload::kParts; ++part) send(upload, to, part);
  for (int part = 0; part < Upload::kParts; ++part) CHECK(!has_arrived(to, part));  // nothing had to wait
  for (int part = Upload::kParts; part < kNumParts; ++part) send(upload, to, part);
  CHECK(has_arrived(to, kNumParts - 1 - Upload::kParts));
  CHECK(!has_arrived(to, kNumParts - 1));
  stream.synchronize();
  for (int part = 0; part < kNumParts; ++part) CHECK(has_arrived(to, part));
}

TEST("host memory is limited to the parts in flight") {
  const Restore restore;
  Stream stream{false};
  Upload upload(stream);
  const DeviceMemory to(kNumParts * kPartBytes);
  emulator::fail("cudaMallocHost", cudaErrorMemoryAllocation, Upload::kParts + 1);
  for (int part = 0; part < kNumParts; ++part) send(upload, to, part);
  CHECK_ERROR(upload.next(2 * kPartBytes), ErrorCode::out_of_memory,
              "2000 bytes of pinned memory");  // the first too many
}

TEST("loading weights never waits for all work of the device") {
  const Restore restore;
  const auto backend = make_backend({});
  const MadeUpMatrix made_up(8, 64, 40, 2, 1);
  emulator::fail("cudaStreamSynchronize", cudaErrorLaunchFailure);
  const MatrixPtr matrix = backend->load_matrix(made_up.view());
  std::vector<float> host(1);
  const BufferPtr somewhere = backend->allocate(sizeof(float));
  CHECK_ERROR(backend->read(std::span(host), somewhere->as<float>()), ErrorCode::device_failed,
              "waiting for the device");
}

TEST("parts in flight arrive when loading is interrupted") {
  Stream stream{false};
  const DeviceMemory to(kPartBytes);
  {
    Upload upload(stream);
    send(upload, to, 0);
  }
  stream.synchronize();
  CHECK(has_arrived(to, 0));
}

TEST("a device that fails while weights are in flight reports it at the next part") {
  const Restore restore;
  Stream stream{false};
  Upload upload(stream);
  const DeviceMemory to(kNumParts * kPartBytes);
  for (int part = 0; part < Upload::kParts; ++part) send(upload, to, part);
  emulator::fail("cudaEventSynchronize", cudaErrorIllegalAddress, 1, true);
  CHECK_ERROR(send(upload, to, 3), ErrorCode::device_failed, "waiting for the device: cudaErrorIllegalAddress");
}

TEST_MAIN()
