// The framing of one ckpt-0 file.

#include "format/pickle.h"

#include "fuzz.h"

using namespace grok;
using namespace grok::fuzz;

namespace {

struct InputBytes final : ByteSource {
  InputBytes(const std::uint8_t* bytes, std::size_t size_bytes) : bytes(bytes), size_bytes(size_bytes) {}
  void read(std::uint64_t offset, std::span<std::byte> out) const override {
    FUZZ_CHECK(offset <= size_bytes && out.size() <= size_bytes - offset);
    std::memcpy(out.data(), bytes + offset, out.size());
  }
  const std::uint8_t* bytes;
  std::size_t size_bytes;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size_bytes) {
  const InputBytes file(input, size_bytes);
  try {
    const PickledTensor tensor = read_pickle(file, size_bytes, "input");
    check_view(tensor.weight, size_bytes);
    if (tensor.scales) check_view(*tensor.scales, size_bytes);
  } catch (const Error& error) {
    check_refusal(error, {ErrorCode::bad_checkpoint, ErrorCode::unsupported});
  }
  return 0;
}
