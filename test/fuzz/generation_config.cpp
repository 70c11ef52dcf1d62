// generation_config.json. Every value that the reader takes must lie in its range.

#include "model/generation_config.h"

#include <limits>

#include "fuzz.h"

using namespace grok;
using namespace grok::fuzz;

namespace {

constexpr std::int32_t kVocabSize = 131072;

template <typename Value>
void check_range(const std::optional<Value>& value, Value lowest, Value highest) {
  FUZZ_CHECK(!value || (*value >= lowest && *value <= highest));
}

void check_ranges(const model::GenerationConfig& config) {
  constexpr double kMaxFloat = std::numeric_limits<float>::max();
  constexpr std::int32_t kMaxInt = std::numeric_limits<std::int32_t>::max();
  check_range(config.temperature, 0.0, kMaxFloat);
  check_range(config.top_p, 0.0, 1.0);
  check_range(config.min_p, 0.0, 1.0);
  check_range(config.repetition_penalty, double(std::numeric_limits<float>::min()), kMaxFloat);
  check_range(config.top_k, 0, kMaxInt);
  check_range(config.max_tokens, 0, kMaxInt);
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
