// One .safetensors file: the size of its header, the header, and where the data lie.

#include "format/safetensors.h"

#include "fuzz.h"

using namespace grok;
using namespace grok::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size_bytes) {
  static MemoryFile file;
  file.write(input, size_bytes);
  try {
    const auto source = open_safetensors(file.path());
    std::uint64_t data_bytes = 0;
    for (const StoredParameter& parameter : source->parameters()) {
      check_view(parameter.weight, size_bytes);
      data_bytes += parameter.weight.size_bytes();
      if (!parameter.scales) continue;
      check_view(*parameter.scales, size_bytes);
      data_bytes += parameter.scales->size_bytes();
    }
    FUZZ_CHECK(data_bytes < size_bytes);  // no byte belongs to two tensors
  } catch (const Error& error) {
    check_refusal(error, {ErrorCode::bad_checkpoint, ErrorCode::unsupported});
  }
  return 0;
}
