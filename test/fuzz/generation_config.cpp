// generation_config.json. Every value that the reader takes must lie in its range.

#include "model/generation_config.h"

#include "backend/backend.h"
#include "fuzz.h"

using namespace grok;
using namespace grok::fuzz;

namespace {

constexpr std::int32_t kVocabSize = 131072;

void check_ranges(const model::GenerationConfig& config) {
  for (const auto& given : config.sampling) {
    bool is_in_range = false;
    const SamplingParams params;
    for_each_option(params, [&](const auto& option, auto) {
      if (given.first == option.name) is_in_range = given.second >= option.smallest && given.second <= option.largest;
    });
    FUZZ_CHECK(is_in_range);
  }
  FUZZ_CHECK(!config.max_tokens || *config.max_tokens >= 0);
  for (const std::int32_t id : config.eos_ids) FUZZ_CHECK(id >= 0 && id < kVocabSize);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size_bytes) {
  static MemoryFile file;
  file.write(input, size_bytes);
  try {
    check_ranges(model::read_generation_config(file.path(), kVocabSize));
  } catch (const Error& error) {
    check_refusal(error, {ErrorCode::bad_checkpoint});
  }
  return 0;
}
