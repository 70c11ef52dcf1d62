// The framing of one ckpt-0 file.

#include "format/pickle.h"

#include "fuzz.h"

using namespace grok;
using namespace grok::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size_bytes) {
  const InputBytes file(input, size_bytes);
  try {
    const format::PickledTensor tensor = format::read_pickle(file, size_bytes, "input");
    check_view(tensor.weight, size_bytes);
    if (tensor.scales) check_view(*tensor.scales, size_bytes);
  } catch (const Error& error) {
    check_refusal(error, {ErrorCode::bad_checkpoint, ErrorCode::unsupported});
  }
  return 0;
}
