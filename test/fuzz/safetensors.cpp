// One .safetensors file: the size of its header, the header, and where the data lie.

#include "format/safetensors.h"

#include "format/safetensors_header.h"
#include "fuzz.h"

using namespace grok;
using namespace grok::fuzz;

namespace {

void check_header(const std::uint8_t* input, std::size_t size_bytes) {
  const InputBytes file(input, size_bytes);
  std::uint64_t data_bytes = 0;
  for (const format::SafetensorsEntry& entry : format::read_safetensors_header(file, size_bytes, "input")) {
    check_view(entry.view, size_bytes);
    data_bytes += entry.view.size_bytes();
  }
  FUZZ_CHECK(data_bytes < size_bytes);  // no byte belongs to two tensors
}

void check_file(const std::uint8_t* input, std::size_t size_bytes) {
  static MemoryFile file;
  file.write(input, size_bytes);
  const auto source = format::open_safetensors(file.path());
  for (const format::StoredParameter& parameter : source->parameters()) {
    check_view(parameter.weight, size_bytes);
    if (parameter.scales) check_view(*parameter.scales, size_bytes);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size_bytes) {
  try {
    if (becomes_file(size_bytes)) check_file(input, size_bytes);
    check_header(input, size_bytes);
  } catch (const Error& error) {
    check_refusal(error, {ErrorCode::bad_checkpoint, ErrorCode::unsupported});
  }
  return 0;
}
