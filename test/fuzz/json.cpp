// The JSON reader. Text that one way of reading takes must be text that skip() takes.

#include "core/json.h"

#include "fuzz.h"

using namespace grok;
using namespace grok::fuzz;

namespace {

template <typename Read>
bool accepts(const std::string& text, Read read) {
  try {
    JsonReader json(text, "input");
    read(json);
    json.finish();
    return true;
  } catch (const Error& error) {
    check_refusal(error, {ErrorCode::bad_checkpoint});
    return false;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size_bytes) {
  const std::string text(reinterpret_cast<const char*>(input), size_bytes);
  const bool is_json = accepts(text, [](JsonReader& json) { json.skip(); });
  const bool is_known = accepts(text, [](JsonReader& json) {
    if (json.kind() == JsonKind::object)
      json.read_object([&](const std::string&) { json.read_size(); });
    else
      json.read_array([&] { json.read_number(); });
  });
  FUZZ_CHECK(is_json || !is_known);
  return 0;
}
