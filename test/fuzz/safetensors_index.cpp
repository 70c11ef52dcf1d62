// model.safetensors.index.json beside two shards. A file outside of their directory must stay unread.

#include <filesystem>

#include "format/safetensors.h"
#include "format/safetensors_index.h"
#include "fuzz.h"
#include "support/files.h"

using namespace grok;
using namespace grok::fuzz;
using namespace grok::testing;

namespace {

namespace fs = std::filesystem;

class ShardedCheckpoint {
 public:
  ShardedCheckpoint() {
    fs::create_directory(path());
    write_shard(path() + "/a.safetensors",
                R"({"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},)"
                R"("a.scales":{"dtype":"BF16","shape":[1],"data_offsets":[4,6]}})",
                6);
    write_shard(path() + "/b.safetensors", R"({"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
    write_shard(directory_ / "outside.safetensors", R"({"outside":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
                8);
    fs::create_symlink(index.path(), path() + "/model.safetensors.index.json");
  }

  std::string path() const { return directory_ / "checkpoint"; }
  MemoryFile index;

 private:
  static void write_shard(const std::string& path, const std::string& header, std::size_t data_bytes) {
    const std::uint64_t header_bytes = header.size();
    OutputFile file(path);
    file.write(std::as_bytes(std::span(&header_bytes, 1)));
    file.write(header);
    file.write(std::string(data_bytes, 'x'));
  }

  TempDirectory directory_;
};

void check_index(const std::string& text) {
  for (const auto& [tensor, shard] : format::parse_safetensors_index(text, "input")) {
    FUZZ_CHECK(shard.ends_with(".safetensors"));
    FUZZ_CHECK(shard.find('/') == std::string::npos && shard.find('\0') == std::string::npos);
  }
}

void check_directory(const std::uint8_t* input, std::size_t size_bytes) {
  static ShardedCheckpoint checkpoint;
  checkpoint.index.write(input, size_bytes);
  const auto source = format::open_safetensors(checkpoint.path());
  for (const format::StoredParameter& parameter : source->parameters()) {
    FUZZ_CHECK(parameter.name == "a" || parameter.name == "b");
    FUZZ_CHECK(parameter.file == parameter.name + ".safetensors");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size_bytes) {
  try {
    if (becomes_file(size_bytes)) check_directory(input, size_bytes);
    check_index(std::string(reinterpret_cast<const char*>(input), size_bytes));
  } catch (const Error& error) {
    check_refusal(error, {ErrorCode::bad_checkpoint, ErrorCode::unsupported, ErrorCode::not_found, ErrorCode::io});
  }
  return 0;
}
