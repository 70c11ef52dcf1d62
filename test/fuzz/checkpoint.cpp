// A whole checkpoint with a few edits: open, load, and steps of one request. The input says which engine and which edits.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <set>
#include <vector>

#include "fuzz.h"
#include "runtime/engine.h"
#include "support/files.h"
#include "support/write_checkpoint.h"

using namespace grok;
using namespace grok::fuzz;
using namespace grok::testing;

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kEditBytes = 5;  // of the input, for one edit
constexpr std::size_t kMaxFileBytes = 1 << 20;

constexpr float kOddValues[] = {std::numeric_limits<float>::quiet_NaN(),
                                std::numeric_limits<float>::infinity(),
                                -std::numeric_limits<float>::infinity(),
                                std::numeric_limits<float>::max(),
                                std::numeric_limits<float>::lowest(),
                                std::numeric_limits<float>::denorm_min(),
                                -0.0f};

// A small checkpoint whose files can be changed and put back.
class EditedCheckpoint {
 public:
  EditedCheckpoint() {
    model::GrokConfig config = tiny_config();
    config.num_layers = 1;
    write_jax_checkpoint(directory_.path(), config);
    for (const auto& entry : fs::directory_iterator(directory_ / "ckpt-0")) files_.push_back({entry.path().string()});
    std::sort(files_.begin(), files_.end(), [](const File& a, const File& b) { return a.path < b.path; });
    files_.push_back({directory_ / "config.json"});
    for (File& file : files_) file.now = file.whole = read_file(file.path);
  }

  const std::string& path() const { return directory_.path(); }

  void edit(const std::uint8_t (&code)[kEditBytes]) {
    const std::size_t index = code[0] % files_.size();
    File& file = files_[index];
    std::string& bytes = file.now;
    edited_.insert(index);
    if (bytes.empty()) return;
    std::size_t offset = (std::size_t(code[1]) << 8 | code[2]) % bytes.size();
    if (code[3] & 0x40) offset = bytes.size() - 1 - offset;
    switch (code[3] & 7) {
      case 0: bytes[offset] = char(code[4]); break;
      case 1: bytes.resize(offset); break;
      case 2: put(bytes, offset, kOddValues[code[4] % std::size(kOddValues)]); break;
      case 3: bytes.insert(offset, 1, char(code[4])); break;
      case 4: bytes.erase(offset, 1 + code[4] % 8); break;
      case 5:  // the rest of a payload, or of a file
        for (; offset + sizeof(float) <= bytes.size(); offset += sizeof(float))
          put(bytes, offset, kOddValues[code[4] % std::size(kOddValues)]);
        break;
      case 6: put(bytes, offset, std::ldexp(1.0f, std::int8_t(code[4]))); break;
      case 7: bytes = files_[code[4] % files_.size()].now; break;
    }
    bytes.resize(std::min(bytes.size(), kMaxFileBytes));
  }

  void write_edits() const {
    for (const std::size_t index : edited_) write_file(files_[index].path, files_[index].now);
  }

  void restore() {
    for (const std::size_t index : edited_) {
      files_[index].now = files_[index].whole;
      write_file(files_[index].path, files_[index].whole);
    }
    edited_.clear();
  }

 private:
  struct File {
    std::string path;
    std::string whole = {};
    std::string now = {};
  };

  static void put(std::string& bytes, std::size_t offset, float value) {
    if (offset + sizeof value <= bytes.size()) std::memcpy(&bytes[offset], &value, sizeof value);
  }

  TempDirectory directory_;
  std::vector<File> files_;
  std::set<std::size_t> edited_;
};

runtime::EngineOptions engine_options(std::uint8_t mode) {
  return {.device = "cpu",
          .num_threads = 1,
          .isa = mode & 8 ? "portable" : "",
          .prefill_chunk = 8,
          .kv_cache_type = mode & 2   ? "int8"
                           : mode & 4 ? "bf16"
                                      : "f32",
          .weights = mode & 1 ? "mapped" : "packed",
          .memory_limit = 64 << 20};
}

runtime::SequenceRequest request(const model::GrokConfig& config, std::uint8_t mode) {
  runtime::SequenceRequest request;
  for (const int id : {1, 5, 2}) request.prompt.push_back(id % config.vocab_size);
  request.max_tokens = 3;
  request.prompt_outputs = runtime::PromptOutputs::logprobs;
  request.sampling.temperature = mode & 16 ? 0 : 0.8f;
  request.sampling.top_p = mode & 32 ? 0.5f : 1;
  request.sampling.top_k = mode & 64 ? 5 : 0;
  request.sampling.min_p = mode & 128 ? 0.1f : 0;
  request.sampling.repetition_penalty = 1.1f;
  request.sampling.num_logprobs = std::min(3, config.vocab_size);
  return request;
}

void check_token(const SampledToken& sampled, int vocab_size) {
  FUZZ_CHECK(sampled.token >= 0 && sampled.token < vocab_size);
  for (const auto& top : sampled.top) FUZZ_CHECK(top.token >= 0 && top.token < vocab_size);
}

void load_and_step(const std::string& path, std::uint8_t mode) {
  const auto engine = runtime::Engine::open(path, engine_options(mode));
  while (!engine->load_next().done) {
  }
  const model::GrokConfig& config = engine->inspection().config;
  const runtime::SequenceRequest asked = request(config, mode);
  if (std::size_t(engine->context_length()) < asked.prompt.size() + std::size_t(asked.max_tokens)) return;
  engine->set_runnable({engine->submit(asked)});
  for (int step = 0; step <= asked.max_tokens; ++step) {
    for (const runtime::SequenceOutput& output : engine->step()) {
      if (output.token) check_token(*output.token, config.vocab_size);
      for (const SampledToken& token : output.prompt) check_token(token, config.vocab_size);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size_bytes) {
  static EditedCheckpoint checkpoint;
  if (size_bytes < 1) return 0;
  const std::uint8_t mode = input[0];
  for (std::size_t at = 1; at + kEditBytes <= size_bytes; at += kEditBytes) {
    std::uint8_t code[kEditBytes];
    std::copy_n(input + at, kEditBytes, code);
    checkpoint.edit(code);
  }
  checkpoint.write_edits();
  try {
    load_and_step(checkpoint.path(), mode);
  } catch (const Error& error) {
    FUZZ_CHECK(error.code != ErrorCode::internal);
    FUZZ_CHECK(std::strlen(error.what()) < 20'000);
  }
  checkpoint.restore();
  return 0;
}
